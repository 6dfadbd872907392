"""MedQA, the English USMLE questions with four options (Jin et al. 2020, arXiv 2009.13081)."""

from spine_rl.problems.benchmarks.benchmark import BOXED_LETTER, BOXED_LETTER_SOURCE, Benchmark, Item
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    options = tuple(str(row["options"][letter]) for letter in "ABCD")
    return Item(row["question"], str(row["answer_idx"]), options)


BENCHMARKS = (
    Benchmark(
        name="medqa",
        title="MedQA (USMLE)",
        hub_id="GBaker/MedQA-USMLE-4-options",
        split="test",
        num_rows=1_273,
        answer_type="choice",
        licence="see the hub (not verified)",
        local_file="medqa_test.jsonl",
        read=read,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
    ),
)
