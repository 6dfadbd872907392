"""A recorded evaluation: responses drawn into a folder batch by batch, so that an interruption costs one batch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from spine_rl.engine.model_folder import find_base
from spine_rl.engine.models import describe_loading
from spine_rl.engine.progress import tell
from spine_rl.engine.sampler import derive_seed
from spine_rl.engine.samplers import Decoding, Prompt, Sampler, load_sampler
from spine_rl.evaluation.evaluate import to_response_row
from spine_rl.evaluation.responses import (
    COMPARISON,
    GREEDY_FILE,
    REPORT_FILE,
    SAMPLES_FILE,
    SHARD,
    Recorded,
    append_responses,
    claim_folder,
    keep_whole_batches,
    load_recorded,
)
from spine_rl.evaluation.sampling import order_rows, prepare_prompts
from spine_rl.evaluation.shards import WHOLE, Shard
from spine_rl.problems import Problem, PromptStyle
from spine_rl.problems.images import digest_image
from spine_rl.runs.machine import list_versions
from spine_rl.runs.manifest import digest_samples
from spine_rl.runs.whole_file import write_whole

_VERSIONED = ("torch", "transformers", "vllm")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_SAMPLES, _SAMPLE = 256, 4096  # bytes, so many times in a file, evenly over it: training changes every weight


@dataclass(frozen=True)
class EvaluationPlan:
    """What is asked of a model.

    Attributes:
        data: Where the problems come from, for the record.
        problems: The problems.
        style: What is put around a problem's text.
        decoding: Of the samples; the greedy response shares its length limit.
        num_samples: Samples a problem.
        engine: One of `ENGINES`.
        dtype: Of the weights.
        loading: How else a model is loaded, as `load_model_and_tokenizer` takes it.
    """

    data: str
    problems: Sequence[Problem]
    style: PromptStyle
    decoding: Decoding
    num_samples: int
    engine: str = "transformers"
    dtype: str = "auto"
    loading: Mapping[str, Any] = field(default_factory=dict)

    def describe(self, model: str) -> dict[str, Any]:
        """The settings: everything that decides which responses are drawn."""
        texts = json.dumps(
            [(problem.id, problem.prompt, *map(digest_image, problem.images)) for problem in self.problems]
        )
        return {
            **describe_loading(self.loading),
            "model": model,
            "weights": _digest_weights(model),
            "engine": self.engine,
            "dtype": self.dtype,
            "data": self.data,
            "problems": {"number": len(self.problems), "sha256": hashlib.sha256(texts.encode()).hexdigest()},
            "prompt": self.style.describe(),
            "decoding": {name: value for name, value in asdict(self.decoding).items() if name != "more" or value},
            "num_samples": self.num_samples,
            "versions": list_versions(*_VERSIONED),
        }


def record_responses(
    model: str,
    plan: EvaluationPlan,
    folder: Path,
    *,
    comparison: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    again: bool = False,
) -> Recorded:
    """Draws a model's greedy responses and samples into a folder, or what is missing of them, and reads them.

    Args:
        model: Folder or hub id.
        plan: What is drawn.
        folder: Where to.
        comparison: What the responses will be compared with: kept in the settings, and no part of them.
        overwrite: Replace an earlier evaluation there.
        again: Read a finished evaluation with the same settings, instead of refusing.

    Raises:
        RunFolderError: The folder holds a finished evaluation, one with other settings, or something else.
        ConfigError: A prompt leaves no room for a response.
    """
    settings = plan.describe(model) | {COMPARISON: dict(comparison or {})}
    claim_folder(folder, settings, overwrite=overwrite, again=again)
    _draw_missing(model, plan, folder, WHOLE)
    return load_recorded(folder, [problem.id for problem in plan.problems])


def record_shard(model: str, plan: EvaluationPlan, folder: Path, shard: Shard, *, overwrite: bool = False) -> int:
    """Draws a shard's responses into a folder, or what is missing of them; returns how many it has.

    Raises:
        RunFolderError: The folder holds an evaluation, another shard, or something else.
        ConfigError: A prompt leaves no room for a response.
    """
    claim_folder(folder, plan.describe(model) | {COMPARISON: {}, SHARD: str(shard)}, overwrite=overwrite)
    return _draw_missing(model, plan, folder, shard)


def _draw_missing(model: str, plan: EvaluationPlan, folder: Path, shard: Shard) -> int:
    """Every batch has its own random state, from the seed and its first row, so an interrupted evaluation that goes on
    has the responses of an unbroken one. The model is not loaded where nothing is missing."""
    parts = [
        (folder / GREEDY_FILE, replace(plan.decoding, temperature=0.0), 1),
        (folder / SAMPLES_FILE, plan.decoding, plan.num_samples),
    ]
    size = plan.decoding.batch_size
    wanted = [shard.count_rows(len(plan.problems) * num_samples, size) for _, _, num_samples in parts]
    done = [keep_whole_batches(path, size, rows) for (path, _, _), rows in zip(parts, wanted, strict=True)]
    if any(rows < all_rows for rows, all_rows in zip(done, wanted, strict=True)):
        engine = load_sampler(plan.engine, model, plan.dtype, plan.loading)
        prompts = prepare_prompts(engine, plan.problems, plan.style, plan.decoding.max_new_tokens)
        for rows, (path, decoding, num_samples) in zip(done, parts, strict=True):
            _draw(engine, plan.problems, prompts, decoding, num_samples, path, rows, shard)
    return sum(wanted)


def _draw(
    engine: Sampler,
    problems: Sequence[Problem],
    prompts: Sequence[Prompt],
    decoding: Decoding,
    num_samples: int,
    path: Path,
    done: int,
    shard: Shard,
) -> None:
    rows = order_rows(prompts, num_samples)
    num_rows = shard.count_rows(len(rows), decoding.batch_size)
    for start in shard.list_starts(len(rows), decoding.batch_size)[-(-done // decoding.batch_size) :]:
        tell(path.stem, done, num_rows, "responses")
        batch = rows[start : start + decoding.batch_size]
        inputs = [prompts[index] for index, _ in batch]
        state = replace(decoding, seed=derive_seed(decoding.seed, start))
        responses = engine.generate(inputs, state)
        records = [
            to_response_row(problems[index].id, sample, response)
            for (index, sample), response in zip(batch, responses, strict=True)
        ]
        append_responses(path, records)
        done += len(batch)
        tell(path.stem, done, num_rows, "responses")


def finish(folder: Path, report: dict[str, Any]) -> None:
    """Writes the report, with which the evaluation is finished."""
    write_whole(folder / REPORT_FILE, json.dumps(report, indent=2) + "\n")


def _digest_weights(model: str) -> str | None:
    """Of a sample of a local model's files, and an adapter's base's: a folder may be trained anew under its name, and
    a copy on another machine is the same."""
    files: list[Path] = []
    for path in map(Path, filter(None, (model, find_base(model)))):
        files += [path] if path.is_file() else sorted(chain.from_iterable(map(path.glob, _WEIGHTS)))
    return (
        digest_samples(files, lambda size: range(0, size, max(_SAMPLE, size // _SAMPLES)), _SAMPLE) if files else None
    )
