"""MathVision testmini (Wang et al. 2024, arXiv 2402.14804): 304 problems with a picture each, 190 with options."""

import re

from spine_rl.problems.benchmarks.benchmark import BOXED_LETTER, BOXED_LETTER_SOURCE, BOXED_SOURCE, Benchmark, Item
from spine_rl.problems.read import Row

# A row has one picture, which holds all that its question and options number: <image2> is a part of it, no other file.
_PART = re.compile(r"<image([02-9]|\d{2,})>")


def read(row: Row) -> Item:
    return Item(
        _name_parts(row["question"]),
        str(row["answer"]),
        tuple(_name_parts(str(option)) for option in row["options"]),
        images=(row.get("decoded_image") or row["image"],),
        answer_type="choice" if row["options"] else "math",
        instruction=BOXED_LETTER if row["options"] else None,
        tags={"subject": str(row["subject"]), "level": str(row["level"])},
    )


def _name_parts(text: str) -> str:
    return _PART.sub(r"[image \1]", text)


BENCHMARKS = (
    Benchmark(
        name="mathvision",
        title="MathVision testmini",
        hub_id="MathLLMs/MathVision",
        split="testmini",
        num_rows=304,
        answer_type="math",
        licence="MIT",
        local_file="mathvision/testmini.jsonl",
        read=read,
        instruction_source=f"{BOXED_SOURCE}; with options, {BOXED_LETTER_SOURCE}",
    ),
)
