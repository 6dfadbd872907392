"""Bridge until `spine_rl.answers` takes options and `complete` and infers types."""

from collections.abc import Iterable, Sequence

from spine_rl import answers


def response_key(text: str, answer_type: str, options: Sequence[str], *, complete: bool) -> str | None:
    return answers.response_key(text, answer_type)


def gold_key(answer: str, answer_type: str, options: Sequence[str]) -> str | None:
    return answers.gold_key(answer, answer_type)


def infer_answer_type(gold_answers: Iterable[str]) -> str:
    return "math"
