"""Finds the answer in a response. Model output is hostile input: only plain scans, over a bounded tail of the text."""

import re

MAX_SCANNED = 20_000  # characters at the end of a response; an answer stands last
MAX_ANSWER = 1_000  # characters; anything longer is no answer
MAX_OPENINGS = 50  # of `\boxed{`, counted from the end

_END_TOKENS = re.compile(r"<\|(?:im_end|endoftext|eot_id|end|end_of_text)\|>|<(?:/s|eos|end_of_turn)>")
_BOXED = re.compile(r"\\f?boxed\s*\{")
_BOXED_BARE = re.compile(r"\\f?boxed\s+([^\s{}$]+)")
_MARKER = re.compile(r"(?:answer|答案)\s*(?:(?:is\b|是|为)\s*[:：]?|[:：])\s*", re.IGNORECASE)
_CHOICE = re.compile(r"(?<![A-Za-z])\(?([A-J])\)?(?![A-Za-z])")


def extract_answer(text: str, answer_type: str = "math") -> str | None:
    """The answer's own text in a response, or None where there is none.

    Args:
        text: A response; chat end tokens are dropped and reasoning up to `</think>` is skipped.
        answer_type: `math`: the last balanced `\\boxed{...}`, else what follows the last `####`, else the line after
            the last "answer is" or "答案"; `choice`: a letter A-J found in the same places.
    """
    tail = _END_TOKENS.sub("", text[-MAX_SCANNED:].rpartition("</think>")[2])
    answer = _EXTRACTORS[answer_type](tail)
    answer = answer.strip() if answer else None
    return answer if answer and len(answer) <= MAX_ANSWER else None


def _extract_math(text: str) -> str | None:
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed
    _, marker, after = text.rpartition("####")
    if marker:
        return _first_line(after)
    matches = list(_MARKER.finditer(text))
    return _first_line(text[matches[-1].end() :]).rstrip(".。") if matches else None


def _extract_choice(text: str) -> str | None:
    letters = _CHOICE.findall(_extract_math(text) or "")
    return letters[0] if letters else None


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _last_boxed(text: str) -> str | None:
    """Contents of the last `\\boxed{...}` whose braces balance, or of a bare `\\boxed 5`."""
    for opening in reversed(list(_BOXED.finditer(text))[-MAX_OPENINGS:]):
        depth = 1
        for position in range(opening.end(), min(len(text), opening.end() + MAX_ANSWER + 1)):
            if text[position - 1] == "\\":
                continue  # an escaped brace, as in \{1, 2\}
            depth += (text[position] == "{") - (text[position] == "}")
            if depth == 0:
                return text[opening.end() : position]
    bare = _BOXED_BARE.findall(text)
    return bare[-1] if bare else None


_EXTRACTORS = {"math": _extract_math, "choice": _extract_choice}
ANSWER_TYPES = tuple(_EXTRACTORS)
