"""The arrows between the rooms point one way, and the pure rooms stay light, in fresh processes."""

import ast
import subprocess
import sys

import pytest

from paths import ROOT

# From the ground up: a room imports those before it, never those after it.
ROOMS = (
    "errors", "options", "presets", "objective", "voting", "answers", "problems", "runs", "monitor", "engine",
    "evaluation", "pages", "training", "diagnose", "solve", "lab", "cli",
)  # fmt: skip
PACKAGE = ROOT / "src" / "spine_rl"

HEAVY = ("trl", "transformers", "datasets", "accelerate", "peft", "matplotlib")


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("spine_rl", ("torch", *HEAVY)),
        ("spine_rl.objective", HEAVY),
        ("spine_rl.answers", ("torch", *HEAVY)),
        ("spine_rl.voting", ("torch", *HEAVY)),
        ("spine_rl.evaluation.metrics", ("torch", *HEAVY)),
        ("spine_rl.monitor", ("torch", *HEAVY)),
        ("spine_rl.options", ("torch", *HEAVY)),
        ("spine_rl.presets", ("torch", *HEAVY)),
        ("spine_rl.problems", ("torch", *HEAVY)),
        ("spine_rl.runs.run_folder", ("torch", *HEAVY)),
        ("spine_rl.training.early_checks", ("torch", *HEAVY)),
        ("spine_rl.problems.benchmarks", ("torch", *HEAVY)),
        ("spine_rl.cli.vote", ("torch", *HEAVY)),
        ("spine_rl.cli.grade", ("torch", *HEAVY)),
        ("spine_rl.evaluation.polls", ("torch", *HEAVY)),
        ("spine_rl.evaluation.grades", ("torch", *HEAVY)),
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


def list_imports(path):
    """Modules of ours that a file imports, those within its functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "spine_rl" else [module]
        yield from (name for name in names if name.startswith("spine_rl."))


def test_every_room_is_known():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__init__", "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_down(room):
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else list((PACKAGE / room).rglob("*.py"))
    assert files
    for path in files:
        for module in list_imports(path):
            used = module.split(".")[1]
            assert used == "__version__" or ROOMS.index(used) <= ROOMS.index(room), f"{path} imports {module}"
