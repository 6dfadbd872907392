"""Letters of multiple choice: "C", "(C)", "**C.** text", "option C", "选项C正确", or an option's own text or value.

Several letters, a letter that no option has, and a value that no option has are no answer.
"""

import re
from collections.abc import Callable, Sequence

from spine_rl.answers.letters import (
    LETTERED_LINE,
    LETTERS,
    is_letter_line,
    read_leading_letter,
    read_letter_line,
    read_said_anywhere,
    read_said_in,
    strip_phrase,
)
from spine_rl.answers.mathematics import math_key, number_type_key
from spine_rl.answers.number_words import read_number_words
from spine_rl.answers.places import NO_ANSWER, Place
from spine_rl.answers.refusals import is_refusal
from spine_rl.answers.values import read_value
from spine_rl.answers.words import normalize_words

MAX_FIRST = 60  # characters of an option's text that is a line before others
MAX_OPTION = 300  # characters of an option that is compared by value
_VALUE = re.compile(r"\d|\\[a-zA-Z]|[=^]")
_FORMULA = re.compile(r"\$[^$]*\$|\\\(.*?\\\)|\\\[.*?\\\]")
_LABEL = re.compile(r"[^\n:：]{1,30}(?:[:：]|(?<=\bans)\.)", re.IGNORECASE)
_DENYING = re.compile(r"wrong|incorrect|\bnot\b|n't|false|elimin|exclu|reject|except|least|错|不|排除", re.IGNORECASE)
_AFTER_OPTION = re.compile(r"\s*(?:[,.;:!，。；：！—–]|-\s|\(|（|$|\b(?:because|since|as|for)\b)")
_DENIED = re.compile(
    r"(?:\bnot|n't|\bneither|\bnor|\bnever|不是|不|非|\bpas|\bnicht|\bне)\s?(?:\w+\s){0,2}$", re.IGNORECASE
)


def read_choice(place: Place, options: Sequence[str] = ()) -> str | None:
    """The letter that a place names; `NO_ANSWER` where it names several, or what is no option; None where none."""
    allowed = {*LETTERS[: len(options)], *options} if options else set(LETTERS)  # options may be letters themselves
    letter = _read(place, options)
    return NO_ANSWER if letter and letter not in allowed else letter


def choice_key(answer: str, options: Sequence[str] = ()) -> str | None:
    """The letter of an answer that is known to be one: a letter, or an option's text; None for anything else."""
    return read_choice(Place("boxed", answer), options) or None


def _read(place: Place, options: Sequence[str]) -> str | None:
    if place.kind == "whole":
        return read_said_anywhere(place.text)
    phrase = strip_phrase(place.text)
    if place.kind == "first":
        is_text = len(phrase) <= MAX_FIRST and not LETTERED_LINE.match(phrase)
        return read_letter_line(phrase) or (_letter_of_text(phrase, options) if is_text else None)
    if is_letter_line(phrase):
        return phrase.strip("()[]（）.:： ").upper()
    is_lettered = LETTERED_LINE.match(phrase) is not None and phrase[1:2] != ":"  # "(B) 12" is B, whatever B's text is
    letter = None if is_lettered else _letter_of_text(place.text, options) or _letter_of_prefix(phrase, options)
    letter = letter or read_leading_letter(phrase, is_line=place.kind == "final")
    if letter is not None:
        return letter
    if is_refusal(phrase):
        return NO_ANSWER
    if place.kind == "final" and (labelled := _letter_of_label(phrase, options)):
        return labelled
    letter = read_said_in(phrase)
    if letter is None and place.kind != "boxed":
        letter = _letter_of_value(place, options) or _letter_within(place.text, options)
    return _no_option(phrase, place, options) if letter is None else letter


def _no_option(phrase: str, place: Place, options: Sequence[str]) -> str | None:
    """A value that no option has is no answer, and no other place is asked; words may say one in other words."""
    if not options or place.kind == "final" or not _VALUE.search(phrase):
        return None
    return NO_ANSWER


def _letter_of_text(phrase: str, options: Sequence[str]) -> str | None:
    """The letter of the one option whose text, number or value this is."""
    if not options or not phrase or len(phrase) > MAX_OPTION:
        return None
    found = _letter_of(strip_phrase(phrase), options, lambda text: normalize_words(strip_phrase(text)))
    if found:
        return found
    if (spelled := read_number_words(strip_phrase(phrase).lower())) is not None:
        return _letter_of(str(spelled), options, _number)
    if not _VALUE.search(phrase):
        return None
    return _letter_of(phrase, options, _number) or _letter_of(phrase, options, math_key)


def _number(text: str) -> str | None:
    return number_type_key(text) if re.search(r"\d", text) else None


def _letter_of(phrase: str, options: Sequence[str], normalize: Callable[[str], str | None]) -> str | None:
    wanted = normalize(phrase)
    if not wanted:
        return None
    found = [
        letter
        for letter, option in zip(LETTERS, options, strict=False)
        if len(option) <= MAX_OPTION and normalize(option) == wanted
    ]
    return found[0] if len(found) == 1 else None


def _letter_of_prefix(phrase: str, options: Sequence[str]) -> str | None:
    """The option whose text a phrase begins with ("No, web green is not ..."), or has after "A:" ("A: False")."""
    if not options:
        return None
    if phrase[:1] == "A" and phrase[1:].lstrip()[:1] in (":", "："):
        rest = phrase.lstrip("A ").lstrip(":： ")
        if is_letter_line(rest) or (letter := _letter_of_text(rest.rstrip("."), options)) not in (None, "A"):
            return rest.strip("()[]（）.:： ").upper() if is_letter_line(rest) else letter
    folded = phrase.casefold()
    found = [
        (len(option), letter)
        for letter, option in zip(LETTERS, options, strict=False)
        if (text := strip_phrase(option).casefold())
        and len(text) > 1
        and folded.startswith(text)
        and _AFTER_OPTION.match(phrase, len(text))
        and not re.fullmatch(r"[\d.\s]*", text)
    ]
    return max(found)[1] if found else None


def _letter_of_label(line: str, options: Sequence[str]) -> str | None:
    """The letter after a label in whatever language: "Conclusion: C", "Jawaban: C", "Result: C. Rome"."""
    label = _LABEL.match(line)
    if label is None or _DENYING.search(label.group()):
        return None
    rest = line[label.end() :].strip()
    if rest == rest.upper() and is_letter_line(rest):
        return rest.strip("()[]（）.:： ")
    head = LETTERED_LINE.match(rest)
    letter = head and (head[1] or head[2])
    return letter if head and letter == _letter_of_text(rest[head.end() :], options) else None


def _letter_of_value(place: Place, options: Sequence[str]) -> str | None:
    """The option whose value a place says, as mathematics is read: "The answer is 12 apples"."""
    value = read_value(place) if options else None
    return _letter_of_text(value, options) if value and _VALUE.search(value) else None


def _letter_within(text: str, options: Sequence[str]) -> str | None:
    """The letter of the one option whose text stands in a phrase, outside of formulas, and is not denied there."""
    words = f" {normalize_words(_FORMULA.sub(' ', text))} "
    found = []
    for letter, option in zip(LETTERS, options, strict=False):
        wanted = normalize_words(option)
        at = words.find(f" {wanted} ") if len(wanted) > 2 and not _VALUE.search(option) else -1
        if at >= 0 and not _DENIED.search(words[: at + 1]):
            found.append(letter)
        elif at >= 0 and len(options) == 2:
            return None  # "not true" of true and false says neither here
    return found[0] if len(found) == 1 else None
