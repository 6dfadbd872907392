"""GSM8K (Cobbe et al. 2021, arXiv 2110.14168): the test split."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    return Item(row["question"], str(row["answer"]))


BENCHMARKS = (
    Benchmark(
        name="gsm8k",
        title="GSM8K",
        hub_id="openai/gsm8k:main",
        split="test",
        num_rows=1_319,
        answer_type="number",
        licence="MIT",
        local_file="gsm8k_test.jsonl",
        read=read,
    ),
)
