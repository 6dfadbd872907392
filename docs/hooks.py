"""Pages of the site that stand elsewhere: the first page is the README, what changed is the changelog.

The tables of a run's options are made from their declarations, so that they say what `spine train --help` says; the
pages of the reference are lists of names, whose docstrings are the text.
"""

import dataclasses
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from spine_rl.training.options import MethodOptions, TrainingOptions

ROOT = Path(__file__).resolve().parents[1]
# A page of docs/reference: what stands above, then the names; a module of which all is told ends with a dot.
REFERENCE = {
    "training": ("# Training", "SpineTrainer", "SpineConfig", "presets.get_preset", "errors."),
    "objective": (
        "# The objective\n\nPure functions of tensors, in the order in which a step uses them. B responses, T tokens, "
        "V words of the vocabulary.", "objective.compute_logps_and_entropies", "objective.compute_group_advantages",
        "objective.select_forks", "objective.compute_band_thresholds", "objective.compute_band_penalty",
        "objective.TokenBatch", "objective.Objective", "objective.ObjectiveOutput", "objective.compute_loss",
        "objective.compute_token_kl",
    ),
    "votes": (
        "# Votes and answers\n\nNeither needs torch.", "voting.vote.", "voting.early_stop.", "voting.poll.",
        "voting.label_rule.", "voting.labels.", "voting.soft_vote.", "voting.confidence_vote.", "voting.scrl.",
        "voting.dare.", "voting.evol.", "voting.certainty.", "voting.flip_guard.", "voting.summaries.",
        "answers.extract_answer", "answers.canonical_key",
        "answers.response_key", "answers.gold_key", "answers.resolve_answer_type",
    ),
    "problems": (
        "# Problems", "problems.load_problems", "problems.Problem", "problems.ProblemSet", "problems.PromptStyle",
        "problems.build_prompt",
    ),
    "evaluation": ("# Evaluation", "evaluation.evaluate.", "evaluation.metrics."),
    "watching": (
        "# Watching and pages", "monitor.", "pages.report.build_report", "pages.report_runs.load_run",
        "pages.report_verdict.answer_run", "pages.report_verdict.Answer",
    ),
}  # fmt: skip
_WHOLE = "\n    options:\n      heading_level: 3\n      show_root_heading: false"


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Adds the pages of the reference."""
    for page, (head, *names) in REFERENCE.items():
        parts = [
            f"## {name.split('.')[-2].capitalize().replace('_', ' ')}\n\n::: spine_rl.{name[:-1]}{_WHOLE}"
            if name.endswith(".")
            else f"::: spine_rl.{name}"
            for name in names
        ]
        files.append(File.generated(config, f"reference/{page}.md", content="\n\n".join((head, *parts)) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page's text, with what stands elsewhere put in its place."""
    if page.file.src_uri == "index.md":
        return _read("README.md").replace("](docs/", "](").replace("[CITATION.cff](CITATION.cff)", "`CITATION.cff`")
    if page.file.src_uri == "changelog.md":
        return _read("CHANGELOG.md")
    for options in (MethodOptions, TrainingOptions):
        markdown = markdown.replace(f"{{{{ {options.__name__} }}}}", _tabulate(options))
    return markdown


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _tabulate(options: type) -> str:
    rows = [
        f"| `{field.name}` | {_show_default(field)} | {field.metadata['help']} |"
        for field in dataclasses.fields(options)
    ]
    return "\n".join(["| option | default | what it is |", "| --- | --- | --- |", *rows])


def _show_default(field: dataclasses.Field[Any]) -> str:
    return "" if field.default is None else f"`{field.default}`"
