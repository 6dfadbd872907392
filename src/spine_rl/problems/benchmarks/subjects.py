"""Questions of science and medicine in text: options to choose from, or yes, no and maybe."""

from spine_rl.answers.letters import LETTERS
from spine_rl.problems.benchmarks.benchmark import BOXED_LETTER, BOXED_LETTER_SOURCE, Benchmark, Item, shuffle_options
from spine_rl.problems.read import Row


def _read_gpqa(row: Row) -> Item:
    """GPQA-Diamond (Rein et al. 2023, arXiv 2311.12022). Its authors ask that its texts are never published again."""
    question = row["Question"].strip()
    wrong = [str(row[f"Incorrect Answer {number}"]).strip() for number in (1, 2, 3)]
    options, letter = shuffle_options(question, str(row["Correct Answer"]).strip(), wrong)
    tags = {"subject": str(row["High-level domain"])} if "High-level domain" in row else {}
    return Item(question, letter, options, tags=tags)


def _read_mmlu(row: Row) -> Item:
    """MMLU (Hendrycks et al. 2020, arXiv 2009.03300): 57 subjects, the test split."""
    return Item(
        row["question"], LETTERS[int(row["answer"])], tuple(row["choices"]), tags={"subject": str(row["subject"])}
    )


def _read_medqa(row: Row) -> Item:
    """MedQA, the English USMLE questions with four options (Jin et al. 2020, arXiv 2009.13081)."""
    options = tuple(str(row["options"][letter]) for letter in "ABCD")
    return Item(row["question"], str(row["answer_idx"]), options)


def _read_pubmedqa(row: Row) -> Item:
    """PubMedQA (Jin et al. 2019, arXiv 1909.06146): yes, no or maybe, from an abstract.

    The 500 test questions of the 1,000 labelled ones. The hub's only split has all 1,000, so a copy of the authors'
    test set is needed: https://github.com/pubmedqa/pubmedqa
    """
    context = row["context"]
    paragraphs = context["contexts"] if isinstance(context, dict) else context
    return Item("Context: " + "\n".join(paragraphs) + f"\n\nQuestion: {row['question']}", str(row["final_decision"]))


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
        read=_read_gpqa,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
        republish=False,
    ),
    Benchmark(
        name="mmlu",
        title="MMLU",
        hub_id="cais/mmlu:all",
        split="test",
        num_rows=14_042,
        answer_type="choice",
        licence="MIT",
        local_file="mmlu.jsonl",
        read=_read_mmlu,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
    ),
    Benchmark(
        name="medqa",
        title="MedQA (USMLE)",
        hub_id="GBaker/MedQA-USMLE-4-options",
        split="test",
        num_rows=1_273,
        answer_type="choice",
        licence="see the hub (not verified)",
        local_file="medqa_test.jsonl",
        read=_read_medqa,
        instruction=BOXED_LETTER,
        instruction_source=BOXED_LETTER_SOURCE,
    ),
    Benchmark(
        name="pubmedqa",
        title="PubMedQA",
        hub_id="qiaojin/PubMedQA:pqa_labeled",
        split="train",
        num_rows=500,
        answer_type="yes_no",
        licence="MIT",
        local_file="pubmedqa_test.jsonl",
        read=_read_pubmedqa,
        instruction="\nPlease reason step by step, and put your final answer (yes, no or maybe) within \\boxed{}.",
        instruction_source="this project's, after Qwen2.5-Math's",
    ),
)
