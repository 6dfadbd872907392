"""Which type of answer a problem has; the shape of gold answers is never looked at where a model is trained."""

import re
from collections.abc import Iterable, Sequence

from spine_rl.answers.choices import LETTERS
from spine_rl.answers.extract import ANSWER_TYPES
from spine_rl.answers.keys import gold_key
from spine_rl.errors import ConfigError


def check_answer_type(answer_type: str, *, auto: bool = True) -> str:
    """Returns a known type.

    Raises:
        ConfigError: It is not one of `ANSWER_TYPES` (or, with `auto`, "auto").
    """
    known = (*ANSWER_TYPES, "auto") if auto else ANSWER_TYPES
    if answer_type not in known:
        raise ConfigError(f"answer_type={answer_type!r}: must be one of {', '.join(known)}")
    return answer_type


def resolve_answer_type(answer_type: str | None, has_options: bool, default: str = "auto") -> str:
    """A problem's type without sight of gold answers: its own, else the run's, else `choice` or `math`.

    Args:
        answer_type: The problem's own, if it has one.
        has_options: Whether it has options.
        default: The run's type, or "auto".
    """
    if answer_type is not None and answer_type != "auto":
        return answer_type
    if default != "auto":
        return default
    return "choice" if has_options else "math"


def infer_answer_type(gold_answers: Iterable[str]) -> str:
    """The type that "auto" stands for: every gold answer has its shape, and of several types the narrowest is taken.

    `choice` for letters A-J, `yes_no`, `number`, `text` for words alone, else `math`.
    """
    answers = [str(answer).strip() for answer in gold_answers]
    if answers and all(answer.strip("().").upper() in tuple(LETTERS) for answer in answers):
        return "choice"
    if answers and all(answer.lower().rstrip(".") in ("yes", "no", "maybe") for answer in answers):
        return "yes_no"
    if answers and all(_is_number(answer) for answer in answers):
        return "number"
    if answers and all(re.fullmatch(r"[^\W\d]{2,}\.?(?:[\s,'’&-]+[^\W\d]+\.?)*", answer) for answer in answers):
        return "text"
    return "math"


def settle_answer_types(problems: Sequence[tuple[str | None, bool, str]], default: str) -> list[str]:
    """The type of each labelled problem: its own, else the default.

    Args:
        problems: Each one's own type, whether it has options, and its gold answer.
        default: "auto" stands for `choice` where there are options, and else goes by all gold answers without.

    Raises:
        ConfigError: There is no such type.
    """
    if check_answer_type(default) != "auto":
        return [own or default for own, _, _ in problems]
    types = [own or ("choice" if has_options else None) for own, has_options, _ in problems]
    inferred = infer_answer_type(gold for kind, (_, _, gold) in zip(types, problems, strict=True) if kind is None)
    return [kind or inferred for kind in types]


def _is_number(answer: str) -> bool:
    """Whether it has a number's key, and is no list: `1,2` may be two numbers."""
    listed = re.search(r"\d,(?!\d{3}(?!\d))", answer)
    return not listed and bool(re.fullmatch(r"-?\d+(/\d+)?", gold_key(answer, "number") or ""))
