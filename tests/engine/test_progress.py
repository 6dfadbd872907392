"""Who works tells, who shows listens."""

import pytest

from spine_rl.engine.progress import listening, phase, tell


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
