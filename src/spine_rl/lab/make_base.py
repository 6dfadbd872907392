"""Makes the lab's base model in about 20 minutes on 2 cores: `python -m spine_rl.lab.make_base --out DIR`.

A Qwen3-architecture model of 0.87 M parameters learns worked arithmetic chains of 2-8 operations (long ones are rare)
in both styles, 45 % careful and 55 % hasty.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin, Qwen3Config, Qwen3ForCausalLM

from spine_rl.engine.samplers import Decoding
from spine_rl.evaluation.evaluate import evaluate
from spine_rl.lab.adapt import EVALUATION_BATCH_SIZE
from spine_rl.lab.families.arithmetic import draw_chain, write_solution
from spine_rl.lab.families.family import detect_style, draw_from_split
from spine_rl.lab.tasks import ARITHMETIC, Task
from spine_rl.lab.teach import Recipe, draw_style, teach
from spine_rl.lab.tokenizer import build_tokenizer

RECIPE = Recipe(steps=3000)
OPERATIONS = range(2, 9)
OPERATIONS_DECAY = 0.65  # a chain of n + 1 operations is this much as frequent as one of n


@dataclass(frozen=True)
class Marks:
    """What makes a useful base on a task: the vote knows more than the model says, and both styles are sampled.

    Attributes:
        greedy: Range of the greedy answers' Pass@1.
        majority: Range of the majority of 8 samples.
        gap: The majority's least lead over the greedy answers.
        careful: Range of the share of careful samples.
    """

    greedy: tuple[float, float] = (0.1, 0.6)
    majority: tuple[float, float] = (0.5, 0.9)
    gap: float = 0.15
    careful: tuple[float, float] = (0.2, 0.8)


def build_model(tokenizer: Any) -> Qwen3ForCausalLM:
    """A randomly initialised model: 4 layers, 128 wide."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def train_base(recipe: Recipe = RECIPE) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerBase]:
    """Trains the base model on worked solutions of the `train` split."""
    torch.manual_seed(recipe.seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    teach(model, tokenizer, _draw_example, recipe)
    return model, tokenizer


def draw_num_operations(rng: random.Random) -> int:
    """2 to 8, the longer the rarer."""
    weights = [OPERATIONS_DECAY**index for index in range(len(OPERATIONS))]
    return rng.choices(OPERATIONS, weights)[0]


def _draw_example(rng: random.Random) -> tuple[str, str]:
    chain = draw_from_split(lambda rng: draw_chain(rng, draw_num_operations(rng)), "train", rng)
    return chain.prompt, write_solution(chain, draw_style(rng), rng)


def measure_quality(
    task: Task, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | ProcessorMixin
) -> dict[str, float]:
    """Metrics on a task's adaptation problems, and the share of careful samples."""
    problem_set = task.make_problems("adapt", 64)
    decoding = Decoding(task.max_new_tokens, temperature=1.0, batch_size=EVALUATION_BATCH_SIZE)
    evaluation = evaluate(model, tokenizer, problem_set.problems, problem_set.gold_answers, decoding, num_samples=8)
    styles = [detect_style(response.text) for row in evaluation.samples for response in row]
    return evaluation.metrics | {"careful": styles.count("careful") / len(styles)}


def check_quality(quality: Mapping[str, float], marks: Marks = Marks()) -> None:
    """Asserts that a base is useful on a task.

    Raises:
        ValueError: Naming the measure that is off.
    """
    ranges = {"greedy_pass@1": marks.greedy, "maj@8": marks.majority, "careful": marks.careful}
    failed = [
        f"{name} in [{low:g}, {high:g}]" for name, (low, high) in ranges.items() if not low <= quality[name] <= high
    ]
    if quality["maj@8"] - quality["greedy_pass@1"] < marks.gap:
        failed.append(f"maj@8 at least {marks.gap:g} above greedy_pass@1")
    if failed:
        raise ValueError(f"the base model misses {'; '.join(failed)}: {quality}")


def make_base(
    description: str | None,
    train: Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase | ProcessorMixin]],
    recipe: Mapping[str, Any],
    marks: Mapping[Task, Marks | None],
) -> None:
    """What each maker's command does: trains a base into the folder `--out` names, measures and judges it.

    Args:
        description: The maker's docstring.
        train: Makes the model, and its tokenizer or processor.
        recipe: What `quality.json` says of how.
        marks: Tasks it is measured on; None where nothing is asserted.

    Raises:
        ValueError: It misses a mark; what was made is written all the same.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="new folder for the model")
    out = parser.parse_args().out
    out.mkdir(parents=True)
    started, started_cpu = time.perf_counter(), time.process_time()
    model, processing_class = train()
    log: dict[str, Any] = {
        **recipe,
        "seconds": round(time.perf_counter() - started),
        "cpu_seconds": round(time.process_time() - started_cpu),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
    }
    model.save_pretrained(out)
    processing_class.save_pretrained(out)
    qualities = {task.name: measure_quality(task, model, processing_class) for task in marks}
    log |= {"tasks": qualities} if len(qualities) > 1 else {"adaptation_problems": next(iter(qualities.values()))}
    (out / "quality.json").write_text(json.dumps(log, indent=2) + "\n")
    print(json.dumps(log, indent=2))
    for task, asserted in marks.items():
        if asserted is not None:
            check_quality(qualities[task.name], asserted)


def main() -> None:
    make_base(__doc__, train_base, {"steps": RECIPE.steps, "seed": RECIPE.seed}, {ARITHMETIC: Marks()})


if __name__ == "__main__":
    main()
