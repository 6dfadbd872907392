"""GPQA-Diamond (Rein et al. 2023, arXiv 2311.12022). Its authors ask that its texts are never published again."""

from spine_rl.problems.benchmarks.benchmark import BOXED_LETTER, BOXED_LETTER_SOURCE, Benchmark, Item, shuffle_options
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    question = row["Question"].strip()
    wrong = [str(row[f"Incorrect Answer {number}"]).strip() for number in (1, 2, 3)]
    options, letter = shuffle_options(question, str(row["Correct Answer"]).strip(), wrong)
    tags = {"subject": str(row["High-level domain"])} if "High-level domain" in row else {}
    return Item(question, letter, options, tags=tags)


BENCHMARKS = (
    Benchmark(
        name="gpqa-diamond",
        title="GPQA-Diamond",
        hub_id="Idavidrein/gpqa:gpqa_diamond",
        split="train",
        num_rows=198,
        answer_type="choice",
        licence="CC BY 4.0; gated, and not to be published again",
        local_file="gpqa_diamond.csv",
        read=read,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
        republish=False,
    ),
)
