"""MATH-500 (Lightman et al. 2023, arXiv 2305.20050): 500 problems of the MATH test set."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    tags = {name: str(row[name]) for name in ("subject", "level") if name in row}
    return Item(row["prompt"] if "prompt" in row else row["problem"], str(row["answer"]), tags=tags)


BENCHMARKS = (
    Benchmark(
        name="math500",
        title="MATH-500",
        hub_id="HuggingFaceH4/MATH-500",
        split="test",
        num_rows=500,
        answer_type="math",
        licence="MIT",
        local_file="math500.jsonl",
        read=read,
    ),
)
