"""`spine eval`."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from spine_rl.answers import ANSWER_TYPES
from spine_rl.errors import ConfigError, RunFolderError
from spine_rl.evaluation import Decoding, evaluate
from spine_rl.models import get_context_length, load_model_and_tokenizer, move_to_accelerator
from spine_rl.problems import PromptStyle, load_problems


def run_evaluation(
    model_name: str,
    data: str,
    decoding: Decoding,
    *,
    num_samples: int,
    answer_type: str,
    prompt_style: PromptStyle,
    columns: dict[str, Any],
    dtype: str,
    json_out: Path | None,
    overwrite: bool,
) -> None:
    """Loads, evaluates, prints a table and writes the metrics as JSON; see `spine eval --help` for the arguments."""
    if answer_type not in ANSWER_TYPES:
        raise ConfigError(f"answer_type={answer_type!r}: must be one of {', '.join(ANSWER_TYPES)}")
    if json_out is not None and json_out.exists() and not overwrite:
        raise RunFolderError(f"{json_out} exists; give another name or --overwrite")
    problem_set = load_problems(data, **columns)
    model, tokenizer = load_model_and_tokenizer(model_name, dtype=dtype)
    model = move_to_accelerator(model)
    evaluation = evaluate(
        model,
        tokenizer,
        problem_set.problems,
        problem_set.gold_answers,
        decoding,
        num_samples=num_samples,
        prompt_style=prompt_style,
        answer_type=answer_type,
        context=get_context_length(model),
    )
    table = Table("metric", "value", title=None)
    for name, value in evaluation.metrics.items():
        table.add_row(name, str(value) if isinstance(value, int) else f"{value:.4f}")
    Console().print(table)
    if json_out is not None:
        json_out.parent.mkdir(parents=True, exist_ok=True)
        json_out.write_text(json.dumps(evaluation.metrics, indent=2) + "\n")
