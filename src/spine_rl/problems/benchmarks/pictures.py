"""Questions about pictures, mathematical and medical."""

import re

from spine_rl.problems.benchmarks.benchmark import BOXED_LETTER, BOXED_LETTER_SOURCE, BOXED_SOURCE, Benchmark, Item
from spine_rl.problems.read import Row

# A row has one picture, which holds all that its question and options number: <image2> is a part of it, no other file.
_PART = re.compile(r"<image([02-9]|\d{2,})>")


def _read_mathvision(row: Row) -> Item:
    """MathVision testmini (Wang et al. 2024, arXiv 2402.14804): 304 problems with a picture each, 190 with options."""
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


def _read_slake(row: Row) -> Item | None:
    """SLAKE (Liu et al. 2021, arXiv 2102.09542), the English questions of the test split, 416 closed and 645 open.

    The hub's repository has the pictures in imgs.zip, which unpacks to the folder imgs beside test.json.
    """
    if row["q_lang"] != "en":
        return None
    closed = str(row["answer_type"]).upper() == "CLOSED"
    yes_no = closed and str(row["answer"]).strip().lower() in ("yes", "no")
    return Item(
        "<image1>\n" + row["question"],
        str(row["answer"]),
        images=("imgs/" + row["img_name"],),
        answer_type="yes_no" if yes_no else "text",
        tags={"kind": "closed" if closed else "open", "content": str(row["content_type"])},
    )


_CHOICES = re.compile(r"\s*Answer Choices:\s*\(A\).*", re.DOTALL)  # questions end with their options once more


def _read_medxpertqa(row: Row) -> Item:
    """MedXpertQA-MM (Zuo et al. 2025, arXiv 2501.18362): five options, one or several pictures.

    The hub's repository has the pictures in images.zip, which unpacks to the folder images beside the folder MM.
    """
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
        name="mathvision",
        title="MathVision testmini",
        hub_id="MathLLMs/MathVision",
        split="testmini",
        num_rows=304,
        answer_type="math",
        licence="MIT",
        local_file="mathvision/testmini.jsonl",
        read=_read_mathvision,
        instruction_source=f"{BOXED_SOURCE}; with options, {BOXED_LETTER_SOURCE}",
    ),
    Benchmark(
        name="slake",
        title="SLAKE (English)",
        hub_id="BoKelvin/SLAKE",
        split="test",
        num_rows=1_061,
        answer_type="text",
        licence="CC BY 4.0",
        local_file="slake/test.json",
        read=_read_slake,
        instruction="\nPlease reason step by step, and put your final answer, a word or a few, within \\boxed{}.",
        instruction_source="this project's, after Qwen2.5-Math's",
    ),
    Benchmark(
        name="medxpertqa-mm",
        title="MedXpertQA-MM",
        hub_id="TsinghuaC3I/MedXpertQA:MM",
        split="test",
        num_rows=2_000,
        answer_type="choice",
        licence="MIT",
        local_file="medxpertqa/MM/test.jsonl",
        read=_read_medxpertqa,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
    ),
)
