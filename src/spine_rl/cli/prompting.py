"""How the commands ask a model, and the line that says so."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from spine_rl.evaluation.prompting import Prompting, settle_prompting


def ask(given: Mapping[str, Any], *models: str, **defaults: Any) -> Prompting:
    """How the models are asked (`settle_prompting`), and a line about what comes from a run."""
    settled = settle_prompting(given, *models, **defaults)
    if settled.taken:
        taken = ", ".join(f"{name} {value!r}" for name, value in settled.taken.items())
        line = f"asked as in the run {settled.run}, where no option says otherwise: {taken}"
        Console().print(line, markup=False, highlight=False, soft_wrap=True)
    return settled.prompting
