"""AMC 2022 and 2023, the 83 problems with whole answers of the AI-MO validation set."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    return Item(row["prompt"] if "prompt" in row else row["problem"], str(row["answer"]))


BENCHMARKS = (
    Benchmark(
        name="amc",
        title="AMC",
        hub_id="AI-MO/aimo-validation-amc",
        split="train",
        num_rows=83,
        answer_type="math",
        licence="the problems are the MAA's; data set: see the hub",
        local_file="amc.jsonl",
        read=read,
    ),
)
