"""The arrows between the parts point one way: checked in fresh processes, where nothing was imported before."""

import subprocess
import sys

import pytest

HEAVY = ("trl", "transformers", "datasets", "accelerate", "peft", "matplotlib")


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("spine_rl", ("torch", *HEAVY)),
        ("spine_rl.objective", HEAVY),
        ("spine_rl.answers", ("torch", *HEAVY)),
        ("spine_rl.voting", ("torch", *HEAVY)),
        ("spine_rl.metrics", ("torch", *HEAVY)),
        ("spine_rl.monitor", ("torch", *HEAVY)),
        ("spine_rl.presets", ("torch", *HEAVY)),
        ("spine_rl.problems", ("torch", *HEAVY)),
        ("spine_rl.problems.benchmarks", ("torch", *HEAVY)),
        ("spine_rl.cli.vote", ("torch", *HEAVY)),
        ("spine_rl.cli.grade", ("torch", *HEAVY)),
        ("spine_rl.cli.data", ("torch", *HEAVY)),
        ("spine_rl.cli.main", ("torch", *HEAVY)),
        ("spine_rl.lab.families.arithmetic", ("torch", *HEAVY)),
        ("spine_rl.lab.families.shapes", ("torch", *HEAVY)),
        ("spine_rl.evaluation", ("trl",)),
    ],
)
def test_import_stays_light(module, forbidden):
    code = f"import sys, {module}; print(*(m for m in {forbidden!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_public_names():
    import spine_rl

    assert spine_rl.__all__ == [
        "PRESETS", "ProblemSet", "SpineConfig", "SpineError", "SpineTrainer", "__version__", "load_problems",
    ]  # fmt: skip
    for name in spine_rl.__all__:
        assert getattr(spine_rl, name) is not None
