"""A page's tables: shown as Markdown, kept as figures; what a model wrote is shown as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from spine_rl.evaluation.formats import render_table
from spine_rl.evaluation.statistics import Estimate, estimate

Row = Mapping[str, Estimate]  # by the column's head


@dataclass(frozen=True)
class Table:
    """Rows of labels and estimates, with the number of seeds of each row as its last column.

    Attributes:
        heading: Of its part of the page.
        rows: (labels, estimates) pairs, at least one; all have the same heads.
        labels: Heads of the labels' columns.
        text: Between heading and table.
    """

    heading: str
    rows: Sequence[tuple[tuple[str, ...], Row]]
    labels: tuple[str, ...] = ("",)
    text: str = ""

    def to_markdown(self) -> str:
        heads = [*self.labels, *self.rows[0][1], "seeds"]
        lines = [
            [
                *labels,
                *(_show(head, each) for head, each in row.items()),
                str([*row.values()][-1].num_seeds),
            ]
            for labels, row in self.rows
        ]
        return "\n\n".join(filter(None, [f"## {self.heading}", self.text, render_table(heads, lines)]))

    def to_json(self) -> list[dict[str, Any]]:
        """A row each, every figure with its interval and number of seeds."""
        return [
            {"row": ", ".join(labels), **{head: each.to_json() for head, each in row.items()}}
            for labels, row in self.rows
        ]


def to_row(values: pd.DataFrame, *, is_difference: bool = False) -> Row:
    """Of values by seed: a column an estimate."""
    return {str(head): estimate(column, is_difference=is_difference) for head, column in values.items()}


def _show(head: str, each: Estimate) -> str:
    return each.describe(digits=1 if head == "length" else 3)


def quote(text: str) -> str:
    """A token as code: no markup, and what is not printable as its number."""
    shown = (char if char.isprintable() and char != "`" else f"\\x{ord(char):02x}" for char in text)
    return f"`{''.join(shown)}`"
