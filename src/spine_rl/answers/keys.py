"""The key that an answer votes, is rewarded and is graded with: equal keys, same answer."""

from collections.abc import Sequence

from spine_rl.answers.choices import choice_key
from spine_rl.answers.extract import extract_answer
from spine_rl.answers.mathematics import math_key, number_type_key
from spine_rl.answers.places import MAX_ANSWER
from spine_rl.answers.words import text_key, yes_no_key


def response_key(
    text: str, answer_type: str = "math", options: Sequence[str] = (), *, complete: bool = True
) -> str | None:
    """Extracts a response's answer and brings it to its key; None where it has none. See `extract_answer`."""
    answer = extract_answer(text, answer_type, options, complete=complete)
    return None if answer is None else canonical_key(answer, answer_type, options)


def gold_key(answer: str, answer_type: str = "math", options: Sequence[str] = ()) -> str | None:
    """The key of a gold answer, which may stand alone or end a worked solution (GSM8K's `#### 18`)."""
    solution = extract_answer(f"{answer}\n", answer_type, options, complete=False)  # of whole lines
    return canonical_key(answer if solution is None else solution, answer_type, options)


def canonical_key(answer: str, answer_type: str = "math", options: Sequence[str] = ()) -> str | None:
    """The key of an answer's text (what `extract_answer` found); None of one too long, or where nothing is left."""
    if len(answer) > MAX_ANSWER:
        return None
    if answer_type == "math":
        return math_key(answer)
    if answer_type == "number":
        return number_type_key(answer)
    if answer_type == "choice":
        return choice_key(answer, options)
    return yes_no_key(answer) if answer_type == "yes_no" else text_key(answer)
