"""Mistakes that need no model to be seen are told before torch is loaded."""

import json
import subprocess
import sys

import pytest

from paths import ROOT

BASE = ROOT / "src" / "spine_rl" / "lab" / "bases" / "arithmetic"
CODE = """
import sys
from spine_rl.cli.main import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""


@pytest.fixture
def data(tmp_path):
    (tmp_path / "good.jsonl").write_text('{"id": "a", "prompt": "What is 1+1?"}\n')
    (tmp_path / "bad.jsonl").write_text(
        '{"id": "a", "prompt": "What is 1+1?"}\n{"id": "a", "prompt": "What is 2+1?"}\n'
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spine_config.json").write_text(json.dumps({"given": {}}))
    return tmp_path


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("train --model ./none --data good.jsonl --output-dir out", "./none: no such folder or file"),
        ("train --model empty --data good.jsonl --output-dir out", "empty: no model folder"),
        ("train --model broken --data good.jsonl --output-dir out", "config.json: not valid JSON"),
        (f"train --model {BASE} --data bad.jsonl --output-dir out", "id 'a' is also that of"),
        (f"train --model {BASE} --data good.jsonl --output-dir run", "run already holds a run"),
        (f"eval --model {BASE} --data good.jsonl", "answer"),
        (f"inspect --model {BASE} --data none.jsonl", "none.jsonl: no such file"),
        (f"solve math50 --model {BASE} --out out.jsonl", "did you mean 'math500'?"),
        (f"eval --model {BASE} --data good.jsonl --baseline ./none", "./none: no such folder or file"),
        (f"train --model {BASE} --data empty --output-dir out", "empty is a folder; give a file in it"),
        (f"train --model {BASE} --data ./none --output-dir out", "./none: no such file; check the path (now in "),
        (f"train --model {BASE} --data a/b/none --output-dir out", "a/b/none: no such file; check the path"),
        (f"solve good.jsonl --model {BASE} --out out.run", "the folder of the work beside the answers has this name"),
        (f"solve good.jsonl --model {BASE} --out out.html", "the page about the run beside the answers has this name"),
        (f"solve good.jsonl --model {BASE} --out bad.jsonl", "bad.jsonl exists; give another name or --overwrite"),
    ],
)
def test_a_mistake_is_told_before_torch_is_loaded(data, command, line):
    done = subprocess.run([sys.executable, "-c", CODE, *command.split()], capture_output=True, text=True, cwd=data)
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stdout.split() == ["False"]
    assert not (data / "out").exists()
