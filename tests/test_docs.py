"""What is read first holds: the README is short, the tour runs, and neither carries what another run printed."""

import re
import shlex

import nbformat
import pytest
from nbclient import NotebookClient

from paths import ROOT
from spine_rl.cli.main import app
from spine_rl.cli.parse import parse

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


def list_pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def list_commands(page):
    """The `spine` commands of a page's code blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [line for line in lines if line.startswith("spine ")]


@pytest.mark.parametrize("page", list_pages(), ids=lambda page: page.stem)
def test_every_command_that_is_shown_is_one(page, tmp_path, monkeypatch):
    """Parsed, not run: names and values of its options, and those of the page's run.yaml, or of a recipe's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "run.yaml").write_text((ROOT / "recipes" / "one-gpu-full.yaml").read_text())
    for text in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        if "output_dir:" in text:
            (tmp_path / "run.yaml").write_text(text)
    for command in list_commands(page):
        parse(app, shlex.split(command, comments=True)[1:])


def test_commands_are_found_in_the_pages():
    assert sum(len(list_commands(page)) for page in list_pages()) > 30
