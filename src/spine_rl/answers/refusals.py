"""Responses that decline: "there is not enough information", "无法确定", "I don't know"."""

import re

from spine_rl.answers.markers import join

_REFUSAL = re.compile(join("refusal"), re.IGNORECASE)
_REFUSES_AFTER = re.compile(
    rf"(?:{join('refusal')})(?:\s?(?:the|a|what|which|whether|correct|right|final|exact|出|哪个|正确|la|die|das)(?!\w)"
    r"|\s?选?项?\s?[(（]?[A-J][)）]?\s?(?:还是|或者?|、))*\s?$",  # 无法确定选D还是
    re.IGNORECASE,
)
_CUES = ("not ", "n't ", "unable", "mpossible", "no way", "difficult", "hard to", "kann ", "ne p", "no se ")
_UNKNOWN = re.compile(
    r"\W*(?:\\text\w*\s*\{)?\s*(?:unknown|n/a|unclear|indeterminate|inconclusive|不确定|未知)\W*", re.IGNORECASE
)
_VALUE = re.compile(r"\d|\\(?!text|mathrm|mbox)[a-z]|\b[A-J]\b")


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


def refuses(before: str) -> bool:
    """Whether what stands before a marker declines it: "we cannot determine the answer", "无法确定选D"."""
    if before.isascii() and not any(cue in before for cue in _CUES):  # for speed
        return False
    return bool(_REFUSES_AFTER.search(before))
