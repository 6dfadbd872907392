"""Letters of multiple choice: "C", "(C)", "**C.** text", "option C", or the option's own text where it is known."""

import re
from collections.abc import Sequence

from spine_rl.answers.numbers import number_key
from spine_rl.answers.places import Place
from spine_rl.answers.typography import strip_typography
from spine_rl.answers.words import normalize_words

LETTERS = "ABCDEFGHIJ"

_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s{0,3}\{([^{}]*)\}")
_DECORATION = re.compile(r"[*_$`\"'“”\s{}]+|\\[()\[\]]")
_LEADING = re.compile(
    r"(?:the\s+)?(?:(?:correct|best|right|final)\s+)*(?:(?:option|choice|answer|letter)\s*(?:is\b)?\s*[:：]?\s*)?"
    r"[(\[（]?([A-J])(?:[)\]）]|(?=$|[.:：,;\s、。，]))",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    r"\s*(?:(?:,\s*)?(?:and|or|&|和|或)\s*[(\[（]?[A-J][)\]）]?(?!\w|\s+is\b)"
    r"|[,、/]\s*[(\[（]?[A-J][)\]）]?\s*(?:$|[,.;、]|and\b|or\b|both\b))"
)
_PRONOUN = re.compile(r"(?!because|since|as|is\b)[a-z']")
_BRACKETED = re.compile(r"[(（\[]([A-J])[)）\]]")
_CHOSEN = re.compile(r"\b(?:be|is|with|choose|pick|select|chose)\s+([A-J])$")
_NAMED = re.compile(r"\b(?:option|choice|answer)\s*(?:is\s*)?[:：]?\s*\(?([A-J])\b(?![a-z'])")


def read_choice(place: Place, options: Sequence[str] = ()) -> str | None:
    """The letter that a place names; None where it names none, or several."""
    phrase = _WRAPPER.sub(r"\1", place.text)
    phrase = _DECORATION.sub(" ", phrase).strip(" .,;:。")
    leading = _LEADING.match(phrase)
    if leading and leading.group(1).isupper() and _SEVERAL.match(phrase, leading.end()):
        return None
    letter = _leading_letter(phrase, place) or _letter_of_text(phrase, options) or _only_letter(phrase)
    return letter or (None if place.kind == "boxed" else _letter_within(phrase, options))


def choice_key(answer: str, options: Sequence[str] = ()) -> str | None:
    """The letter of an answer that is known to be one: a letter, or an option's text; None for anything else."""
    return read_choice(Place("boxed", answer), options)


def _leading_letter(phrase: str, place: Place) -> str | None:
    match = _LEADING.match(phrase)
    if match is None:
        return None
    letter, rest = match.group(1), phrase[match.end() :].strip()
    bracketed = match.group()[-1] in ")]）"
    if letter == "I" and phrase[match.end() - 1] == letter and _PRONOUN.match(rest):
        return None  # I do not know
    if letter.islower() and (rest or (place.kind == "final" and not bracketed)):
        return None  # the article, or a word of its own
    is_word = letter in "AI" and phrase[match.end() - 1] == letter and rest[:1].islower()
    return None if is_word and place.kind == "final" else letter.upper()


def _letter_of_text(phrase: str, options: Sequence[str]) -> str | None:
    """The letter of the one option whose text, or whose number, this is."""
    for normalize in (normalize_words, lambda text: number_key(strip_typography(text))):
        wanted = normalize(phrase)
        found = [letter for letter, option in zip(LETTERS, options, strict=False) if normalize(option) == wanted]
        if wanted and len(found) == 1:
            return found[0]
    return None


def _letter_within(phrase: str, options: Sequence[str]) -> str | None:
    """The letter of the one option whose text the phrase contains."""
    words = f" {normalize_words(phrase)} "
    found = [
        letter
        for letter, option in zip(LETTERS, options, strict=False)
        if len(wanted := normalize_words(option)) > 2 and f" {wanted} " in words
    ]
    return found[0] if len(found) == 1 else None


def _only_letter(phrase: str) -> str | None:
    for pattern in (_NAMED, _BRACKETED, _CHOSEN):
        letters = set(pattern.findall(phrase))
        if letters:
            return letters.pop() if len(letters) == 1 else None
    return None
