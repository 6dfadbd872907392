"""MathVision testmini (Wang et al. 2024, arXiv 2402.14804): 304 problems with a picture each."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row

# Placeholders such as <image1> stay where they stand in the question.


def read(row: Row) -> Item:
    return Item(
        row["question"],
        str(row["answer"]),
        tuple(map(str, row["options"])),
        images=(row.get("decoded_image") or row["image"],),
        answer_type="choice" if row["options"] else "math",
        tags={"subject": str(row["subject"]), "level": str(row["level"])},
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
        read=read,
        instruction="\nPlease reason step by step, and put your final answer (the option's letter) within \\boxed{}.",
        instruction_source="this project's, after Qwen2.5-Math's",
    ),
)
