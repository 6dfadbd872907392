"""Text split where no bracket is open."""

import re

OPEN, CLOSE = "([{", ")]}"


def split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Splits at separators that stand outside all brackets; a half-open interval's brackets match too."""
    found = list(separator.finditer(text))
    if not found:
        return [text]
    depths, depth = [], 0
    for character in text:
        depth += (character in OPEN) - (character in CLOSE)
        depths.append(depth)
    parts, start = [], 0
    for match in found:
        at = match.start()
        if match.end() > start and (depths[at - 1] if at else 0) == 0:
            parts.append(text[start:at].strip())
            start = match.end()
    return [*parts, text[start:].strip()]


def is_enclosed(inner: str) -> bool:
    depth = 0
    for character in inner:
        depth += (character in OPEN) - (character in CLOSE)
        if depth < 0:
            return False
    return depth == 0
