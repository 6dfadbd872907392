"""Responses that decline: "there is not enough information", "无法确定", "I don't know"."""

import re

from spine_rl.answers.markers import join

_REFUSAL = re.compile(join("refusal"), re.IGNORECASE)
_UNKNOWN = re.compile(
    r"\W*(?:\\text\w*\s*\{)?\s*(?:unknown|unclear|indeterminate|inconclusive|不确定|未知)\W*", re.IGNORECASE
)
_VALUE = re.compile(r"\d|\\[a-z]|\b[A-J]\b")


def is_refusal(text: str, *, after_value: bool = True) -> bool:
    """Whether a text declines to answer.

    Args:
        text: A phrase or a line.
        after_value: Whether a refusal counts that follows a value: "5, though the sign cannot be determined".
    """
    found = _REFUSAL.search(text) if " " in text or not text.isascii() else None
    if found is None:
        return bool(_UNKNOWN.fullmatch(text))
    return after_value or not _VALUE.search(text[: found.start()])
