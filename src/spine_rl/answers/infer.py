"""Which type of answer a data set has, from the shape of its gold answers; never used where a model is trained."""

import re
from collections.abc import Iterable

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


def infer_answer_type(gold_answers: Iterable[str], *, has_options: bool = False) -> str:
    """The type that "auto" stands for: every gold answer has its shape, and of several types the narrowest is taken.

    `choice` for letters A-J, `yes_no`, `number`, `text` for words alone, else `math`.
    """
    answers = [str(answer).strip() for answer in gold_answers]
    if has_options or (answers and all(answer.strip("().").upper() in tuple(LETTERS) for answer in answers)):
        return "choice"
    if answers and all(answer.lower() in ("yes", "no", "maybe") for answer in answers):
        return "yes_no"
    if answers and all(re.fullmatch(r"-?\d+(/\d+)?", gold_key(answer, "number") or "") for answer in answers):
        return "number"
    if answers and all(re.fullmatch(r"[^\W\d]{2,}([\s,'-]+[^\W\d]+)*", answer) for answer in answers):
        return "text"
    return "math"
