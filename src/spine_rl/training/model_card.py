"""The README.md that goes with an adapted model."""

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from spine_rl import __version__
from spine_rl.runs.run_file import LAST_FOLDER
from spine_rl.runs.whole_file import write_whole
from spine_rl.training.collapse_guard import Kept
from spine_rl.training.config import SpineConfig

_REPORTED = (
    "reward",
    "vote/majority_ratio",
    "vote/distinct_answers",
    "vote/abstained",
    "response_length/mean",
    "response_length/truncated",
    "entropy/all",
    "entropy/forks",
)


def write_model_card(
    args: SpineConfig,
    model_name: str,
    dataset_name: str | None,
    log_history: list[dict[str, Any]],
    kept: Kept | None = None,
) -> None:
    """Writes the card into the run's folder: how the model was adapted, and the first and last step's statistics.

    Args:
        args: The run's configuration.
        model_name: Heading of the card.
        dataset_name: Where the problems came from, if known.
        log_history: The run's logged steps.
        kept: Which weights the model has.
    """
    folder = Path(args.output_dir or ".")
    steps = [row for row in log_history if "vote/majority_ratio" in row]
    template = Environment(loader=PackageLoader("spine_rl.training"), undefined=StrictUndefined).get_template(
        "model_card.md.jinja"
    )
    text = template.render(
        model_name=model_name,
        dataset_name=dataset_name,
        args=args,
        version=__version__,
        kept=kept,
        has_last=(folder / LAST_FOLDER).is_dir(),
        statistics=[(name, steps[0].get(name), steps[-1].get(name)) for name in _REPORTED] if steps else [],
        last_step=steps[-1]["step"] if steps else 0,
    )
    data = ModelCardData(library_name="transformers", tags=["spine", "test-time-rl", "grpo", "trl"])
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")
    write_whole(folder / "README.md", str(card))
