"""Lines for whoever runs a command, as they are: model output in them is no markup, and nothing is wrapped."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def say(*lines: str) -> None:
    """Prints them on standard output."""
    console = Console()
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def show(table: Table) -> None:
    """Prints a table; no narrower than its longest words, as a number that is cut short would be lost or another."""
    console = Console()
    options = console.options.update(max_width=1000)
    for column in table.columns:
        cells = (column.header, *column.cells)
        column.min_width = max(Measurement.get(console, options, cell).minimum for cell in cells)
    console.print(table, crop=False)
