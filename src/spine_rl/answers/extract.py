"""Finds the answer in a response. Model output is hostile input: plain scans over a bounded text, nothing evaluated."""

from collections.abc import Callable, Sequence

from spine_rl.answers.choices import read_choice
from spine_rl.answers.places import MAX_ANSWER, NO_ANSWER, Place, find_places
from spine_rl.answers.values import read_math, read_number
from spine_rl.answers.words import read_text, read_yes_no

Reader = Callable[[Place, Sequence[str]], str | None]


def extract_answer(
    text: str, answer_type: str = "math", options: Sequence[str] = (), *, complete: bool = True
) -> str | None:
    """The answer's own text in a response, or None where there is none; see `spine_rl.answers.places` for where.

    Args:
        text: A response.
        answer_type: `math`: any mathematics, or a short answer in words; `number`; `choice`: a letter A-J; `yes_no`:
            yes, no or maybe; `text`: a short answer in words.
        options: Of a choice, their texts in the order of their letters, so that an option's text is found too.
        complete: False where the response was cut off by the length limit; its final line is then no answer.
    """
    return find_answer(text, answer_type, options, complete=complete)[1]


def find_answer(
    text: str, answer_type: str, options: Sequence[str], *, complete: bool
) -> tuple[Place | None, str | None]:
    """The place that decides, and the answer there; (place, None) where a response declines or names several."""
    read = READERS[answer_type]
    for place in find_places(text, complete=complete):
        answer = read(place, options)
        if answer == NO_ANSWER:
            return place, None
        if answer and len(answer) <= MAX_ANSWER:
            return place, answer
    return None, None


READERS: dict[str, Reader] = {
    "math": read_math,
    "number": read_number,
    "choice": read_choice,
    "yes_no": read_yes_no,
    "text": read_text,
}
ANSWER_TYPES = tuple(READERS)
