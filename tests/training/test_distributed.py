"""The same step in one process, with accumulation, and in two processes (gloo) that share a group."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from models import save_qwen2

SCRIPT = Path(__file__).parent / "distributed_step.py"


def run_step(folder, preset, num_processes, accumulation):
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    command = [sys.executable, *(launcher if num_processes > 1 else []), str(SCRIPT)]
    done = subprocess.run(
        [*command, str(folder), preset, str(num_processes), str(accumulation)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[1])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    name = f"{preset}-{num_processes}-{accumulation}"
    return load_file(folder / f"{name}.safetensors"), json.loads((folder / f"{name}.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["spine", "spine-v2"])
def test_step_does_not_depend_on_processes_or_accumulation(tmp_path, preset):
    save_qwen2(tmp_path / "model")
    gradients, logged = run_step(tmp_path, preset, 1, 1)
    assert sum(g.abs().sum() for g in gradients.values()) > 0
    for processes, accumulation in ((1, 3), (2, 1), (2, 3)):
        other, other_logged = run_step(tmp_path, preset, processes, accumulation)
        assert other.keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert (other[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-9, name
        for name, value in logged.items():
            if not name.startswith(("completions", "memory")):  # TRL's own, of which it logs more; the machine's
                assert other_logged[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["scrl", "self-certainty"])
def test_a_rules_step_does_not_depend_on_them_either(tmp_path, preset):
    """Entropies and certainties are gathered over processes, whose groups are split."""
    save_qwen2(tmp_path / "model")
    gradients, logged = run_step(tmp_path, preset, 1, 1)
    assert sum(g.abs().sum() for g in gradients.values()) > 0
    other, other_logged = run_step(tmp_path, preset, 2, 3)
    # Of a random model all responses are about as uncertain: rounding, 5e-7 nats, is 2e-4 of what they differ by.
    for name, gradient in gradients.items():
        assert (other[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-9, name
    for name in ("vote/reward", "loss/policy", "entropy/all"):
        assert other_logged[name] == pytest.approx(logged[name], rel=1e-3, abs=1e-6), name
