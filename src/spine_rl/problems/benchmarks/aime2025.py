"""AIME 2025: 30 problems, answers from 0 to 999."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    return Item(row["prompt"] if "prompt" in row else row["problem"], str(row["answer"]))


BENCHMARKS = (
    Benchmark(
        name="aime2025",
        title="AIME 2025",
        hub_id="math-ai/aime25",
        split="test",
        num_rows=30,
        answer_type="math",
        licence="the problems are the MAA's",
        local_file="aime2025.jsonl",
        read=read,
    ),
)
