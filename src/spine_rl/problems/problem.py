"""A problem, which has no answer, and a set of problems, which may have gold answers beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Problem:
    """A problem without its answer.

    Attributes:
        id: Unique in its set; responses are grouped by it.
        prompt: Plain text, or chat messages.
        options: Texts of a multiple choice problem's options, in the order of their letters; else empty.
        answer_type: How its answer is read (`spine_rl.answers`); None leaves it to the run.
        images: Of a visual problem, `<image1>` first: PIL images, or `ProblemImage`s, which are opened later.
    """

    id: str
    prompt: str | Messages
    options: tuple[str, ...] = ()
    answer_type: str | None = None
    images: tuple[Any, ...] = ()


@dataclass(frozen=True)
class ProblemSet:
    """Problems, and gold answers where asked for; the two meet in evaluation and diagnosis only.

    Attributes:
        problems: The problems.
        gold_answers: Problem id → gold answer.
        tags: Problem id → what its results are broken down by, such as `subject` and `level`.
    """

    problems: list[Problem]
    gold_answers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_rows(self) -> list[dict[str, Any]]:
        """A row a problem, with its gold answer, as a data file has them; needs gold answers, and unopened images."""
        return [
            {
                "id": problem.id,
                "prompt": problem.prompt,
                **({"options": problem.options} if problem.options else {}),
                **({"answer_type": problem.answer_type} if problem.answer_type else {}),
                **({"images": [image.export() for image in problem.images]} if problem.images else {}),
                **self.tags.get(problem.id, {}),
                "answer": self.gold_answers[problem.id],
            }
            for problem in self.problems
        ]
