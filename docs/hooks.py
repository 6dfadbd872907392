"""Pages of the site that stand elsewhere: the first page is the README, what changed is the changelog.

The tables of a run's options are made from their declarations, so that they say what `spine train --help` says.
"""

import dataclasses
from pathlib import Path
from typing import Any

from spine_rl.training.options import MethodOptions, TrainingOptions

ROOT = Path(__file__).resolve().parents[1]


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
