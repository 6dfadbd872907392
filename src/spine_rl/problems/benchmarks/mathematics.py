"""Mathematics in text: a problem, and its answer as a number or an expression."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row


def _read_math500(row: Row) -> Item:
    """MATH-500 (Lightman et al. 2023, arXiv 2305.20050): 500 problems of the MATH test set."""
    tags = {name: str(row[name]) for name in ("subject", "level") if name in row}
    return Item(row["prompt"] if "prompt" in row else row["problem"], str(row["answer"]), tags=tags)


def _read_problem(row: Row) -> Item:
    """Of the MAA's competitions; answers of AIME are from 0 to 999."""
    return Item(row["prompt"] if "prompt" in row else row["problem"], str(row["answer"]))


def _read_gsm8k(row: Row) -> Item:
    """GSM8K (Cobbe et al. 2021, arXiv 2110.14168): the test split."""
    return Item(row["question"], str(row["answer"]))


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
        read=_read_math500,
    ),
    # AMC 2022 and 2023, the 83 problems with whole answers of the AI-MO validation set.
    Benchmark(
        name="amc",
        title="AMC",
        hub_id="AI-MO/aimo-validation-amc",
        split="train",
        num_rows=83,
        answer_type="math",
        licence="the problems are the MAA's; data set: see the hub",
        local_file="amc.jsonl",
        read=_read_problem,
    ),
    # AIME 2024: 30 problems, answers from 0 to 999.
    Benchmark(
        name="aime2024",
        title="AIME 2024",
        hub_id="HuggingFaceH4/aime_2024",
        split="train",
        num_rows=30,
        answer_type="math",
        licence="the problems are the MAA's",
        local_file="aime2024.jsonl",
        read=_read_problem,
    ),
    # AIME 2025: 30 problems, answers from 0 to 999.
    Benchmark(
        name="aime2025",
        title="AIME 2025",
        hub_id="math-ai/aime25",
        split="test",
        num_rows=30,
        answer_type="math",
        licence="the problems are the MAA's",
        local_file="aime2025.jsonl",
        read=_read_problem,
    ),
    Benchmark(
        name="gsm8k",
        title="GSM8K",
        hub_id="openai/gsm8k:main",
        split="test",
        num_rows=1_319,
        answer_type="number",
        licence="MIT",
        local_file="gsm8k_test.jsonl",
        read=_read_gsm8k,
    ),
)
