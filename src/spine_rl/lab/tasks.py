"""The lab's tasks: a family at a difficulty, and the tiny base model that adapts to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from spine_rl.engine.models import load_model_and_tokenizer
from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.lab.families.arithmetic import generate_chains
from spine_rl.lab.families.choice import generate_choices
from spine_rl.lab.families.family import LabProblem, Split
from spine_rl.lab.families.shapes import generate_shapes
from spine_rl.lab.families.words import generate_stories
from spine_rl.problems import Problem, ProblemSet

BASES = Path(__file__).parent / "bases"


@dataclass(frozen=True)
class Task:
    """One task of the lab.

    Attributes:
        name: Of the task.
        description: What its adaptation problems are, in the plural: "chains of 7 operations".
        base: Folder of its base model, whose training problems were easier.
        max_new_tokens: Room for a careful solution.
        generate: Draws distinct problems: (split, number, seed) → problems.
    """

    name: str
    description: str
    base: Path
    max_new_tokens: int
    generate: Callable[[Split, int, int], Sequence[LabProblem]]

    def load_base(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | ProcessorMixin]:
        """The base model, fresh from its file, and its tokenizer or processor."""
        return load_model_and_tokenizer(str(self.base))

    def make_problems(self, split: Split, num_problems: int, *, seed: int = 0) -> ProblemSet:
        """Fresh problems of a split with their gold answers; the same arguments give the same problems."""
        return to_problem_set(split, self.generate(split, num_problems, seed))


def to_problem_set(name: str, worked: Sequence[LabProblem]) -> ProblemSet:
    """Problems in the form that training and evaluation take, numbered under a name."""
    problems = [
        Problem(f"{name}-{index}", each.prompt, each.options, each.answer_type, each.images)
        for index, each in enumerate(worked)
    ]
    return ProblemSet(problems, {problem.id: each.answer for problem, each in zip(problems, worked, strict=True)})


def _chains(num_operations: int) -> Callable[[Split, int, int], Sequence[LabProblem]]:
    return lambda split, num_problems, seed: generate_chains(
        split, num_problems, num_operations=num_operations, seed=seed
    )


def _stories(num_operations: int) -> Callable[[Split, int, int], Sequence[LabProblem]]:
    return lambda split, num_problems, seed: generate_stories(
        split, num_problems, num_operations=num_operations, seed=seed
    )


def _choices(num_operations: int) -> Callable[[Split, int, int], Sequence[LabProblem]]:
    return lambda split, num_problems, seed: generate_choices(
        split, num_problems, num_operations=num_operations, seed=seed
    )


def _shapes(split: Split, num_problems: int, seed: int) -> Sequence[LabProblem]:
    return generate_shapes(split, num_problems, seed=seed)


# A careful solution of 7 operations has about 75 tokens; 93 % of the base's training problems were shorter.
ARITHMETIC = Task("arithmetic", "chains of 7 operations", BASES / "arithmetic", 120, _chains(7))

# A careful solution of two counts has about 65 tokens.
VQA = Task("vqa", "questions about crowded pictures of coloured shapes", BASES / "vqa", 90, _shapes)

TEXT_BASE = BASES / "text"
TEXT_TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("text-arithmetic", "chains of 7 operations", TEXT_BASE, 120, _chains(7)),
        Task("words", "stories of 6 operations", TEXT_BASE, 120, _stories(6)),
        Task("choice", "questions of 3 operations with 4 options", TEXT_BASE, 120, _choices(3)),
        # About 11 tokens an operation.
        Task("chains-10", "chains of 10 operations", TEXT_BASE, 160, _chains(10)),
        Task("chains-15", "chains of 15 operations", TEXT_BASE, 230, _chains(15)),
        Task("chains-20", "chains of 20 operations", TEXT_BASE, 300, _chains(20)),
    )
}

TASKS: Mapping[str, Task] = {ARITHMETIC.name: ARITHMETIC, VQA.name: VQA, **TEXT_TASKS}


def get_task(name: str) -> Task:
    """A task by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in TASKS:
        raise ConfigError(f"task {name!r}: unknown; {suggest_nearest(name, TASKS)}")
    return TASKS[name]
