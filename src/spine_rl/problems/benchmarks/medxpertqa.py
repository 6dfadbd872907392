"""MedXpertQA-MM (Zuo et al. 2025, arXiv 2501.18362): five options, one or several pictures."""

from spine_rl.problems.benchmarks.benchmark import BOXED_LETTER, BOXED_LETTER_SOURCE, Benchmark, Item
from spine_rl.problems.read import Row


def read(row: Row) -> Item:
    options = row["options"]
    images = row.get("images") or [row["image"]]
    return Item(
        "".join(f"<image{number}>" for number in range(1, len(images) + 1)) + "\n" + row["question"].strip(),
        str(row["label"]),
        tuple(str(options[letter]) for letter in "ABCDE"),
        images=tuple("images/" + image if isinstance(image, str) else image for image in images),
        tags={name: str(row[name]) for name in ("medical_task", "body_system") if name in row},
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
        local_file="medxpertqa/mm_test.jsonl",
        read=read,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
    ),
)
