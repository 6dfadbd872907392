"""What is read first holds: the README is short, the tour runs, and neither carries what another run printed."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from paths import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"


def test_the_readme_is_short_and_its_commands_are_there():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.encode()) < 6000
    targets = set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE))
    assert targets == {"demo", "test"}
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_tour_is_kept_without_outputs():
    cells = nbformat.read(TOUR, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow
def test_the_tour_runs(tmp_path, monkeypatch):
    """From its first cell to its last, with fewer problems and steps."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    tour = nbformat.read(TOUR, as_version=4)
    (parameters,) = [cell for cell in tour.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = "NUM_PROBLEMS, STEPS = 16, 2"
    NotebookClient(tour, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [output.get("text", "") for cell in tour.cells for output in cell.get("outputs", ())]
    assert any("Too early to tell" in text for text in printed)
