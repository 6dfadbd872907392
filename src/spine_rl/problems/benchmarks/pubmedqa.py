"""PubMedQA (Jin et al. 2019, arXiv 1909.06146): yes, no or maybe, from an abstract."""

from spine_rl.problems.benchmarks.benchmark import Benchmark, Item
from spine_rl.problems.read import Row

# The 500 test questions of the 1,000 labelled ones. The hub's only split has all 1,000, so a copy of the authors' test
# set is needed: https://github.com/pubmedqa/pubmedqa


def read(row: Row) -> Item:
    context = row["context"]
    paragraphs = context["contexts"] if isinstance(context, dict) else context
    return Item("Context: " + "\n".join(paragraphs) + f"\n\nQuestion: {row['question']}", str(row["final_decision"]))


BENCHMARKS = (
    Benchmark(
        name="pubmedqa",
        title="PubMedQA",
        hub_id="qiaojin/PubMedQA:pqa_labeled",
        split="train",
        num_rows=500,
        answer_type="yes_no",
        licence="MIT",
        local_file="pubmedqa_test.jsonl",
        read=read,
        instruction="\nPlease reason step by step, and put your final answer (yes, no or maybe) within \\boxed{}.",
        instruction_source="this project's, after Qwen2.5-Math's",
    ),
)
