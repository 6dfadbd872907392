"""Numbers in words, English and Chinese: `twenty-one`, `one hundred and five`, `十二`, `两百零五`."""

import re
from fractions import Fraction

_SMALL = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_NUMERALS = "|".join(sorted([*_SMALL, *_TENS], key=len, reverse=True))
_ALL = "|".join(sorted([*_SMALL, *_TENS, "hundred", *_SCALES], key=len, reverse=True))
_PART = rf"(?:{'|'.join(_PARTS)})s?"
ENGLISH = (
    rf"(?:(?:a|{_NUMERALS})(?:(?:\s|-|\sand\s)(?:{_ALL}))*(?:(?:\s|-|\sand\sa\s){_PART})?"
    rf"|(?:hundred|{'|'.join(_SCALES)}))"
)
_ENGLISH = re.compile(rf"(?:minus\s|negative\s)?{ENGLISH}|half", re.IGNORECASE)

_CHINESE_DIGITS = {"零": 0, "〇": 0, "两": 2} | {
    digit: value for value, digit in enumerate("一二三四五六七八九", start=1)
}
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000}
CHINESE = "[零〇一二两三四五六七八九十百千万亿]{1,12}"
_CHINESE = re.compile(CHINESE)


def read_number_words(text: str) -> Fraction | None:
    """The number that the whole text spells; None for anything else."""
    text = text.strip()
    if text.isascii():
        if not text[:1].isalpha() or len(text) > 100 or not _ENGLISH.fullmatch(text):
            return None
        whole, _, part = text.lower().rpartition(" and ")  # two and a half, two and three quarters
        if whole and re.search(rf"\b{_PART}$", part):
            high, low = read_number_words(whole), read_number_words(part)
            return None if high is None or low is None else high + low
        return _read_english(re.split(r"[\s-]+", text.lower()))
    return _read_chinese(text) if _CHINESE.fullmatch(text) else None


def _read_english(words: list[str]) -> Fraction | None:
    sign = -1 if words[0] in ("minus", "negative") else 1
    words = [word for word in words if word not in ("and", "minus", "negative")]
    part = _PARTS.get(words[-1].removesuffix("s").replace("halve", "half"))
    if part is not None:
        if words[:-1] not in (["one"], ["a"]) and words != ["half"] and words[-1][-1] != "s":
            return None  # the third, the twenty-fifth
        words = words[:-1] or ["one"]
    elif words == ["a"]:
        return None
    total = _add_up(words)
    return None if total is None else Fraction(sign * total, part or 1)


def _add_up(words: list[str]) -> int | None:
    """The number; None where the words are not one number: "four five", "two thousand million"."""
    total, current, previous, smallest = 0, 0, None, None
    for word in words:
        value = _TENS.get(word, _SMALL.get(word))
        if word == "hundred":
            current = (current or 1) * 100
        elif word in _SCALES:
            if smallest is not None and _SCALES[word] >= smallest:
                return None
            smallest = _SCALES[word]
            total, current = total + (current or 1) * smallest, 0
        elif word == "a":
            current += 1
        elif value is not None:
            if previous is not None and not (previous >= 20 and value < 10):
                return None
            current += value
        previous = value
    return total + current


def _read_chinese(text: str) -> Fraction | None:
    for symbol, scale in (("亿", 10**8), ("万", 10**4)):
        if symbol in text:
            before, _, after = text.partition(symbol)
            high, low = _read_chinese(before) if before else None, _read_chinese(after) if after else Fraction(0)
            return None if high is None or low is None else high * scale + low
    total, digit = 0, None
    for character in text:
        if character in _CHINESE_SCALES:
            if digit is None and character != "十":
                return None
            total, digit = total + (1 if digit is None else digit) * _CHINESE_SCALES[character], None
        elif digit:  # 二三: digits one by one, as in a year
            return None
        else:
            digit = _CHINESE_DIGITS[character]
    return Fraction(total + (digit or 0))
