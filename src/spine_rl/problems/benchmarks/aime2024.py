"""AIME 2024: 30 problems, answers from 0 to 999."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    return Item(row["prompt"] if "prompt" in row else row["problem"], str(row["answer"]))


BENCHMARKS = (
    Benchmark(
        name="aime2024",
        title="AIME 2024",
        hub_id="HuggingFaceH4/aime_2024",
        split="train",
        num_rows=30,
        answer_type="math",
        licence="the problems are the MAA's",
        local_file="aime2024.jsonl",
        read=read,
    ),
)
