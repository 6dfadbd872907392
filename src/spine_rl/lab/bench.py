"""The lab's workbench: its base model and its problem sets, in the form that training and evaluation take."""

from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from spine_rl.lab.arithmetic import Split, generate_chains
from spine_rl.problems import Problem, ProblemSet

BASE_FOLDER = Path(__file__).parent / "base"
NUM_OPERATIONS = 7  # of adaptation problems: 93 % of the base model's training problems were shorter
MAX_NEW_TOKENS = 120  # a careful solution of 7 operations has about 75 tokens


def load_base(folder: Path = BASE_FOLDER) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model, fresh from its file, and its tokenizer."""
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def make_problems(
    split: Split, num_problems: int, *, num_operations: int = NUM_OPERATIONS, max_operand: int = 20, seed: int = 0
) -> ProblemSet:
    """Fresh problems of a split with their gold answers; see `spine_rl.lab.arithmetic.generate_chains`."""
    chains = generate_chains(split, num_problems, num_operations=num_operations, max_operand=max_operand, seed=seed)
    problems = [Problem(f"{split}-{index}", chain.prompt) for index, chain in enumerate(chains)]
    return ProblemSet(problems, {problem.id: chain.answer for problem, chain in zip(problems, chains, strict=True)})
