"""Answers in words: yes, no and maybe; and short free text, compared as in visual question answering."""

import re
import unicodedata
from collections.abc import Sequence

from spine_rl.answers.markers import LANGUAGES
from spine_rl.answers.places import NO_ANSWER, Place
from spine_rl.answers.refusals import is_refusal

MAX_TEXT = 200  # characters of a free-text answer that is not boxed

_YES_NO = {"yes": "yes", "no": "no", "maybe": "maybe", "是": "yes", "否": "no", "不是": "no", "可能": "maybe"}
_YES_NO_WORD = re.compile(
    r"\b(?:yes|no|maybe)\b|(?<![\u4e00-\u9fff])(?:不是|是|否|可能)(?=的?(?:$|[\s.,;:!，。；：！]))", re.IGNORECASE
)
# "No" as a word before another one (no doubt, no difference), or a yes or no that is denied, is no answer.
_NO_ANSWER = re.compile(
    r"(?i:(?:\bnot|n't|\bneither|\bnever|\bnor)\s+(?:an?\s+|just\s+)?(?:simple\s+)?(?:yes|no|maybe)\b)"
    r"|(?<=[\w,] )no\s+(?!(?:because|since|as|for|it|there|this|the|they|he|she|and|or)\b)[a-z]"
)
_ASKED = re.compile(r"\byes\s*(?:/|,|or)\s*no(?:\s*(?:/|,|or|, or)\s*maybe)?\b", re.IGNORECASE)  # "yes or no?"
_NO_DOUBT = re.compile(r"no\s+(?:doubt|one|matter)\b|(?:yes\s+and\s+no|no\s+and\s+yes)\b", re.IGNORECASE)
_OTHER_LANGUAGES = {  # only where a phrase starts with it: "non" and "ja" are parts of other words
    answer: re.compile(
        rf"(?:{'|'.join(filter(None, (getattr(each, answer) for each in LANGUAGES[1:])))})"
        r"(?:[\s,.;:!。、，！；]|$|입니다|です)",
        re.IGNORECASE,
    )
    for answer in ("maybe", "yes", "no")
}
_DECORATION = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s{0,3}(?=\{)|[*_`$\"“”{}]|\\[()\[\]]")
_ARTICLE = re.compile(r"\b(?:[Aa]n|[Tt]he|AN|THE)\b|(?:^A|\ba)(?=\s+\w)")  # but not the A of "hepatitis A"
_GROUPED = re.compile(r"(?<![\d.,(\[])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
_PUNCTUATION = re.compile(r"[^\w\s.%/+<>=≤≥≠±~^#&°×÷:-]|\.(?!\d)|(?<!\d):|:(?!\d)")  # <5 mm, >5 mm, C#, 1:2
_SIGNS = str.maketrans({"−": "-", "–": "-", "﹣": "-"})
_LATEX_SIGNS = {"le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "lt": "<", "gt": ">", "ne": "≠", "neq": "≠", "pm": "±"}
_LATEX_SIGN = re.compile(r"\\(leq?|geq?|lt|gt|neq?|pm)(?![A-Za-z])")
_SIGN_SPACE = re.compile(r"([<>=≤≥≠±~])\s+|(?<=\d)\s+(%)")
_LEADING_POINT = re.compile(r"(?<![\w.])\.(?=\d)")
_SEPARATOR = re.compile(r"\s*[,;、，；]\s*(?:and\s+)?|\s+(?:and|&)\s+|\s*和\s*")
_NUMBER_WORDS = dict(
    zip(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
        map(str, range(11)),
        strict=True,
    )
)


def read_yes_no(place: Place, _: Sequence[str] = ()) -> str | None:
    """Yes, no or maybe: the word a phrase starts with, else the only one of them in it."""
    if place.kind in ("first", "whole"):
        return _read_first_line(place)
    phrase = _ASKED.sub("", _DECORATION.sub("", place.text)).strip()
    for answer, pattern in _OTHER_LANGUAGES.items():
        if pattern.match(phrase):
            return answer
    words = [_YES_NO[word.lower()] for word in _YES_NO_WORD.findall(phrase)]
    leading = _YES_NO_WORD.match(phrase)
    if leading:
        return None if _NO_DOUBT.match(phrase) else words[0]
    if _NO_ANSWER.search(phrase) or (place.kind == "final" and len(phrase) > MAX_TEXT):
        return None
    return words[0] if len(set(words)) == 1 else None


def _read_first_line(place: Place) -> str | None:
    """A first line that is one of the words; or begins with one, where nothing after it says more."""
    line = _DECORATION.sub("", place.text).strip().partition("\n")[0]
    found = _YES_NO_WORD.match(line)
    rest = line[found.end() :].strip(" .!。！") if found else ""
    if found is None or (rest and (place.kind == "first" or rest[0] not in ",;:，；-–—")):
        return None
    return _YES_NO[found.group().lower()]


def yes_no_key(answer: str) -> str | None:
    return read_yes_no(Place("boxed", answer))


def read_text(place: Place, _: Sequence[str] = ()) -> str | None:
    """A short answer in words."""
    if place.kind in ("first", "whole"):
        return None
    if is_refusal(place.text):
        return NO_ANSWER
    phrase = _DECORATION.sub("", place.text).strip(" \t.,;:。")
    return phrase if place.kind == "boxed" or len(phrase) <= MAX_TEXT else None


def text_key(answer: str) -> str | None:
    """Words without case, articles, punctuation and order of a list: "The left lung, heart." is "heart, left lung"."""
    text = _GROUPED.sub(lambda number: number.group().replace(",", ""), _DECORATION.sub("", answer))
    parts = {normalize_words(part) for part in _SEPARATOR.split(text)}
    return ", ".join(sorted(parts - {""})) or None


def normalize_words(text: str) -> str:
    """Lower case; no articles and punctuation; numbers up to ten as digits; single spaces."""
    text = _LATEX_SIGN.sub(lambda sign: f" {_LATEX_SIGNS[sign.group(1)]} ", text) if "\\" in text else text
    text = _PUNCTUATION.sub(" ", unicodedata.normalize("NFKC", text.translate(_SIGNS))).strip()
    text = _SIGN_SPACE.sub(r"\1\2", _LEADING_POINT.sub("0.", text))
    text = _ARTICLE.sub(" ", text).casefold()
    return " ".join(_NUMBER_WORDS.get(word, word) for word in text.split())
