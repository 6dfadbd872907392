"""Days by the name of their month: `July 4, 1776`, `4th of July 1776`."""

import re

_MONTHS = "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
MONTH = rf"(?:{_MONTHS}|nov(?:ember)?|dec(?:ember)?)"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
# The same without groups, to be found in a phrase.
DATE = (
    rf"(?i:{MONTH}\.?\s\d{{1,2}}(?:st|nd|rd|th)?\b|\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?{MONTH}\b)(?:\s?,?\s\d{{4}}\b)?"
)
_DATE = re.compile(
    rf"(?:({MONTH})\.?\s{_DAY}|(?:the\s)?{_DAY}\s(?:of\s)?({MONTH})\.?)(?:\s?,?\s(\d{{4}}))?", re.IGNORECASE
)


def date_key(text: str) -> str | None:
    """A day of a month, with the year where that is said; None for anything else."""
    date = _DATE.fullmatch(text)
    if date is None:
        return None
    day, month = (date[2], date[1]) if date[1] else (date[3], date[4])
    return " ".join(filter(None, [str(int(day)), month[:3].lower(), date[5]]))
