"""Markdown tables; what a model wrote is shown as text."""

from collections.abc import Sequence


def render_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; `|` in a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def quote(text: str) -> str:
    """A token as code: no markup, and spaces and line ends can be seen."""
    return "`" + ascii(text)[1:-1].replace("`", "\\x60") + "`"
