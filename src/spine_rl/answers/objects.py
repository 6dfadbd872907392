"""An answer in a JSON object that ends a response: `{"reasoning": "...", "answer": "12", "confidence": 0.9}`."""

import json
import re
from collections.abc import Iterator

MAX_OBJECTS = 10  # lines that may open one, looked at from the first
_OPENING = re.compile(r"^[ \t]{0,20}(?=\{)", re.MULTILINE)
_NAME = re.compile(r"(?:(?:final|correct|my|the|your)[\s_-]?)?ans(?:wer)?", re.IGNORECASE)
_CLOSED = re.compile(r"\s*(?:</\w{1,20}>\s*)*")
_BACKSLASH = re.compile(r"(?<!\\)\\(?=[A-Za-z]{2})(?!u[\da-fA-F]{4})")  # who writes \frac means it, not a form feed
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


def read_object(text: str) -> str | None:
    """The last answer that the object names, a tool's arguments too; None where no object ends the text."""
    if not text.rstrip().endswith(("}", ">")):
        return None
    text = _BACKSLASH.sub(r"\\\\", text)
    for opening in list(_OPENING.finditer(text))[:MAX_OBJECTS]:
        try:
            value, end = _DECODER.raw_decode(text, opening.end())
            if _CLOSED.fullmatch(text, end):
                return next(reversed([*_find_answers(value)]), None)
        except (ValueError, RecursionError):
            continue
    return None


def _find_answers(value: object) -> Iterator[str]:
    """Of an object and those within it, in their order."""
    for name, part in value.items() if isinstance(value, dict) else ():
        if not _NAME.fullmatch(name):
            yield from _find_answers(part)
        elif isinstance(part, str | bool):
            yield str(part)
        elif isinstance(part, list) and all(isinstance(each, str) for each in part):
            yield ", ".join(part)
