"""SLAKE (Liu et al. 2021, arXiv 2102.09542), the English questions of the test split, 416 closed and 645 open."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row

# The hub's repository has the pictures in imgs.zip, which unpacks to the folder imgs beside test.json.


def read(row: Row) -> Item | None:
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


BENCHMARKS = (
    Benchmark(
        name="slake",
        title="SLAKE (English)",
        hub_id="BoKelvin/SLAKE",
        split="test",
        num_rows=1_061,
        answer_type="text",
        licence="CC BY 4.0",
        local_file="slake/test.json",
        read=read,
        instruction="\nPlease reason step by step, and put your final answer, a word or a few, within \\boxed{}.",
        instruction_source="this project's, after Qwen2.5-Math's",
    ),
)
