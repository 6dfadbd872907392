"""MedXpertQA-MM (Zuo et al. 2025, arXiv 2501.18362): five options, one or several pictures."""

import re

from spine_rl.problems.benchmarks.benchmark import BOXED_LETTER, BOXED_LETTER_SOURCE, Benchmark, Item
from spine_rl.problems.read import Row

# The hub's repository has the pictures in images.zip, which unpacks to the folder images beside the folder MM.
_CHOICES = re.compile(r"\s*Answer Choices:\s*\(A\).*", re.DOTALL)  # questions end with their options once more


def read(row: Row) -> Item:
    options, images = row["options"], row["images"]
    return Item(
        "".join(f"<image{number}>" for number in range(1, len(images) + 1))
        + "\n"
        + _CHOICES.sub("", row["question"]).strip(),
        str(row["label"]),
        tuple(str(options[letter]) for letter in "ABCDE"),
        images=tuple("../images/" + image if isinstance(image, str) else image for image in images),
        tags={name: str(row[name]) for name in ("medical_task", "body_system", "question_type") if name in row},
    )


BENCHMARKS = (
    Benchmark(
        name="medxpertqa-mm",
        title="MedXpertQA-MM",
        hub_id="TsinghuaC3I/MedXpertQA:MM",
        split="test",
        num_rows=2_000,
        answer_type="choice",
        licence="MIT",
        local_file="medxpertqa/MM/test.jsonl",
        read=read,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
    ),
)
