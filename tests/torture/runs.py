"""The small runs that are killed, damaged and starved, and what of their folders must be equal."""

import json
from pathlib import Path

from paths import ROOT
from spine_rl.lab.experiments.store import read_records

BASE = ROOT / "src" / "spine_rl" / "lab" / "bases" / "arithmetic"
NUM_PROBLEMS = 8
# Differences that each need something of their own to go on from exactly.
WAYS = {
    "plain": (),
    "within-a-generation-batch": ("--steps_per_generation=3", "--save_steps=1"),
    "several-iterations": ("--num_iterations=2", "--save_steps=1", "--logging_steps=2"),
    "adapter": ("--use_peft", "--lora_r=4", "--lora_dropout=0.1", "--save_total_limit=1"),
    "anchor-and-votes": ("--beta=0.05", "--num_votes=6", "--gradient_accumulation_steps=2", "--save_steps=1"),
    "best": ("--keep_best=label-free", "--on_collapse=retry", "--save_steps=1"),
}
_OF_THE_MACHINE = ("seconds/", "memory/", "tokens_per_second", "step_time")
_OF_THE_MACHINE += ("train_runtime", "train_samples", "train_steps", "train_loss")


def write_problems(path, count=NUM_PROBLEMS):
    rows = [{"id": f"p{i}", "prompt": f"{i}+{i + 3}=", "answer": str(2 * i + 3)} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(data, out, way="plain", steps=5):
    """Of a run of a second or two."""
    fixed = ("--per_device_train_batch_size=8", "--num_generations=4", "--max_completion_length=24", "--use_cpu")
    fixed += ("--save_steps=2", "--learning_rate=1e-3", "--report_to=none", f"--max_steps={steps}", "--sample_steps=2")
    return ["train", f"--model={BASE}", f"--data={data}", f"--output_dir={out}", *fixed, *WAYS[way]]


def read_end(folder):
    """All that must be equal of two runs: weights, logged steps, samples, what it was of."""
    folder = Path(folder)
    weights = sorted(path for path in folder.glob("*.safetensors"))
    return {
        "weights": {path.name: path.read_bytes() for path in weights},
        "metrics": _read_rows(folder / "metrics.jsonl"),
        "samples": _read_rows(folder / "samples.jsonl"),
        "finished": json.loads((folder / "spine_config.json").read_text()).get("finished"),
    }


def read_rows(folder):
    """Files of responses or answers, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl"))}


def read_curves(folder):
    """Every evaluation of an experiment's cells, by name."""
    return {name: record["curve"] for name, record in read_records(folder).items()}


def find_difference(end, other):
    """The first part that is not equal, in words; None of equal ones."""
    for name, value in end.items():
        if value != other[name]:
            return name
    return None


def _read_rows(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith(_OF_THE_MACHINE)} for row in rows]
