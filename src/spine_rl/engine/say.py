"""Lines for whoever runs a command, as they are: model output in them is no markup, and nothing is wrapped."""

from rich.console import Console


def say(*lines: str) -> None:
    """Prints them on standard output."""
    console = Console()
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
