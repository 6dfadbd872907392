"""MMLU (Hendrycks et al. 2020, arXiv 2009.03300): 57 subjects, the test split."""

from spine_rl.problems.benchmarks.benchmark import BOXED_LETTER, BOXED_LETTER_SOURCE, LETTERS, Benchmark, Item
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    return Item(
        row["question"], LETTERS[int(row["answer"])], tuple(row["choices"]), tags={"subject": str(row["subject"])}
    )


BENCHMARKS = (
    Benchmark(
        name="mmlu",
        title="MMLU",
        hub_id="cais/mmlu:all",
        split="test",
        num_rows=14_042,
        answer_type="choice",
        licence="MIT",
        local_file="mmlu.jsonl",
        read=read,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
    ),
)
