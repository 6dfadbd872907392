"""Answers in words: yes, no and maybe; and short free text, compared as in visual question answering."""

import re
import unicodedata

from spine_rl.answers.places import Place

MAX_TEXT = 200  # characters of a free-text answer that is not boxed

_YES_NO = {"yes": "yes", "no": "no", "maybe": "maybe", "是": "yes", "否": "no", "不是": "no", "可能": "maybe"}
_YES_NO_WORD = re.compile(r"\b(?:yes|no|maybe)\b|不是|是|否|可能", re.IGNORECASE)
_DECORATION = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s{0,3}(?=\{)|[*_`$\"“”{}]|\\[()\[\]]")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = re.compile(r"[^\w\s.%/+-]|(?<!\d)\.|\.(?!\d)")
_SEPARATOR = re.compile(r"\s*[,;、，；]\s*(?:and\s+)?|\s+and\s+|\s*和\s*")
_NUMBER_WORDS = dict(
    zip(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
        map(str, range(11)),
        strict=True,
    )
)


def read_yes_no(place: Place) -> str | None:
    """Yes, no or maybe: the word a phrase starts with, else the only one of them in it."""
    phrase = _DECORATION.sub("", place.text).strip()
    words = [_YES_NO[word.lower()] for word in _YES_NO_WORD.findall(phrase)]
    leading = _YES_NO_WORD.match(phrase)
    if leading:
        return words[0]
    if place.kind == "final" and len(phrase) > MAX_TEXT:
        return None
    return words[0] if len(set(words)) == 1 else None


def yes_no_key(answer: str) -> str | None:
    return read_yes_no(Place("boxed", answer))


def read_text(place: Place) -> str | None:
    """A short answer in words."""
    phrase = _DECORATION.sub("", place.text).strip(" \t.,;:。")
    return phrase if place.kind == "boxed" or len(phrase) <= MAX_TEXT else None


def text_key(answer: str) -> str | None:
    """Words without case, articles, punctuation and order of a list: "The left lung, heart." is "heart, left lung"."""
    parts = {normalize_words(part) for part in _SEPARATOR.split(_DECORATION.sub("", answer))}
    return ", ".join(sorted(parts - {""})) or None


def normalize_words(text: str) -> str:
    """Lower case; no articles and punctuation; numbers up to ten as digits; single spaces."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _ARTICLE.sub(" ", _PUNCTUATION.sub(" ", text))
    return " ".join(_NUMBER_WORDS.get(word, word) for word in text.split())
