"""Who works tells, who shows listens."""

import pytest
from rich.table import Table

from spine_rl.engine.progress import listening, phase, tell
from spine_rl.engine.say import show


def test_what_is_told_reaches_the_innermost_listener_alone():
    outer, inner = [], []
    tell("nobody")
    with listening(lambda *told: outer.append(told)):
        tell("generate", 1, 2, "tokens")
        with listening(lambda *told: inner.append(told)), phase("vote"):
            pass
        tell("generate", 2, 2, "tokens")
    tell("nobody")
    assert outer == [("generate", 1, 2, "tokens"), ("generate", 2, 2, "tokens")]
    assert inner == [("vote", 0, 0, ""), ("vote", 1, 1, "")]


def test_a_phase_ends_with_its_block_whatever_happens():
    told = []
    with pytest.raises(ValueError, match="x"), listening(lambda *what: told.append(what)), phase("load"):
        raise ValueError("x")
    assert told[-1] == ("load", 1, 1, "")


def test_no_number_of_a_table_is_lost_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "20")
    table = Table("metric", "model", "baseline")
    table.add_row("greedy_pass@1", "0.625 [0.52, 0.73]", "0.125 [0.02, 0.23]")
    show(table)
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert all(number in printed for number in ("greedy_pass@1", "0.625", "[0.52,", "0.73]", "0.125", "0.23]"))
