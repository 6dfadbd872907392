"""Markdown tables; what a model wrote is shown as text."""

from collections.abc import Sequence


def render_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; `|` in a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def quote(text: str) -> str:
    """A token as code: no markup, and what is not printable as its number."""
    shown = (char if char.isprintable() and char != "`" else f"\\x{ord(char):02x}" for char in text)
    return f"`{''.join(shown)}`"
