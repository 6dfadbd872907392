"""One canonical key per answer: equal keys, same answer.

A number is its exact fraction, so `0.5`, `1/2` and `\\frac12` are one answer; a structure is made of its parts' keys;
other mathematics is keyed by its value, in a process of its own; what is left is compared as text.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from spine_rl.answers.choices import choice_key
from spine_rl.answers.extract import extract_answer
from spine_rl.answers.numbers import number_key
from spine_rl.answers.quantities import quantity_key
from spine_rl.answers.structure import structure_key
from spine_rl.answers.symbolic import SymbolicTimeoutError, compute_equation_key, compute_symbolic_key
from spine_rl.answers.typography import strip_typography
from spine_rl.answers.units import strip_units
from spine_rl.answers.words import text_key, yes_no_key

MAX_EXPRESSION = 300  # characters; longer answers are compared as text

_INTEGER = re.compile(r"-?[1-9][0-9]{0,14}|0")
_MATHEMATICS = re.compile(r"[\d^+*/|!]|\\[a-zA-Z]|[a-zA-Z]\s*-|^-?pi$")
_FUNCTIONS = "sin|cos|tan|cot|sec|csc|log|ln|exp|arcsin|arccos|arctan"
_COMMAND = re.compile(rf"\\(?:begin|end)\{{[a-zA-Z]+\}}|\\[A-Za-z]+|(?<![A-Za-z])(?:sqrt|pi|{_FUNCTIONS})(?![a-z])")
_WORD = re.compile(r"[A-Za-z]{4,}|\b(?:by|in|of|to|is)\b|[^\W\d_a-zA-Z]")
_NAMED = re.compile(rf"(?<![\\A-Za-z])(pi|infinity|infty|{_FUNCTIONS})(?![A-Za-z])")
_ROOT = re.compile(r"(?<![\\A-Za-z])sqrt\s*(?:\(([^()]*)\)|(\d+))")
_POWER = re.compile(r"\^\s*(?:\(([^()]*)\)|(-?\d{2,}))")
_LOG_BASE = re.compile(r"\\log_\s?(\w)(?!\w)")
_SEPARATE_NUMBERS = re.compile(r"\d\s+\d|\d\.\d+\.\d")
_INFINITY = {"\\infty": "oo", "+\\infty": "oo", "-\\infty": "-oo", "infinity": "oo", "-infinity": "-oo"}
_BASE = re.compile(r"(\d[\dA-Fa-f]*)_\{?\s*(\d+|[a-z]{3,})\s*\}?")
_BASE_NAMES = {"two": "2", "three": "3", "five": "5", "eight": "8", "ten": "10", "twelve": "12", "sixteen": "16"}


def response_key(
    text: str, answer_type: str = "math", options: Sequence[str] = (), *, complete: bool = True
) -> str | None:
    """Extracts a response's answer and brings it to its key; None where it has none. See `extract_answer`."""
    answer = extract_answer(text, answer_type, options, complete=complete)
    return None if answer is None else canonical_key(answer, answer_type, options)


def gold_key(answer: str, answer_type: str = "math", options: Sequence[str] = ()) -> str | None:
    """The key of a gold answer, which may stand alone or end a worked solution (GSM8K's `#### 18`)."""
    solution = extract_answer(answer, answer_type, options, complete=False)
    return canonical_key(answer if solution is None else solution, answer_type, options)


def canonical_key(answer: str, answer_type: str = "math", options: Sequence[str] = ()) -> str | None:
    """The key of an answer's text (what `extract_answer` found); None where nothing is left of it."""
    if answer_type in ("math", "number"):
        key = _number_or_math_key(answer)
        return key if answer_type == "math" or (key and any(map(str.isdigit, key))) else None
    if answer_type == "choice":
        return choice_key(answer, options)
    return yes_no_key(answer) if answer_type == "yes_no" else text_key(answer)


def _number_or_math_key(answer: str) -> str | None:
    if _INTEGER.fullmatch(answer):
        return answer
    try:
        return _math_key(answer)
    except SymbolicTimeoutError:
        return None


@lru_cache(maxsize=20_000)
def _math_key(answer: str) -> str | None:
    """Of any mathematics.

    Raises:
        SymbolicTimeoutError: Its value cannot be had in time.
    """
    text = strip_typography(answer)
    key = number_key(text) or quantity_key(answer)
    if key is not None:
        return key
    if len(text) > MAX_EXPRESSION:
        return _words_key(text)
    return structure_key(text, _atom_key, _equation_key)


def _atom_key(text: str) -> str | None:
    """Of an expression without structure: a number, a value, or words.

    Raises:
        SymbolicTimeoutError: Its value cannot be had in time.
    """
    text = strip_units(text.strip())
    key = number_key(text) or _INFINITY.get(text.replace(" ", ""))
    if key is not None:
        return key
    if based := _BASE.fullmatch(text):
        base = _BASE_NAMES.get(based.group(2), based.group(2))
        return f"{based.group(1).lower()}_{base}"
    if _is_expression(text):
        return compute_symbolic_key(_to_latex(text)) or _words_key(text)
    return _words_key(text)


def _equation_key(text: str) -> str | None:
    """Of an equation that is not solved for anything, compared up to a factor.

    Raises:
        SymbolicTimeoutError: Its value cannot be had in time.
    """
    left, _, right = text.partition("=")
    key = compute_equation_key(_to_latex(f"({left})-({right})")) if _is_expression(text) else None
    return key or _words_key(text)


def _is_expression(text: str) -> bool:
    """Whether mathematics may stand here, not words."""
    if not text.isascii() or _SEPARATE_NUMBERS.search(_LOG_BASE.sub("log", text)):
        return False
    return bool(_MATHEMATICS.search(text)) and not _WORD.search(_COMMAND.sub(" ", text))


def _to_latex(text: str) -> str:
    """What is written in plain text the LaTeX parser would read letter by letter."""
    text = _ROOT.sub(lambda match: f"\\sqrt{{{match.group(1) or match.group(2)}}}", text.replace("**", "^"))
    text = re.sub(r"(?<=\{)\s+|\s+(?=\})", "", text)
    text = _LOG_BASE.sub(r"\\log_{\1}", text)
    text = _POWER.sub(lambda match: f"^{{{match.group(1) or match.group(2)}}}", text)
    return _NAMED.sub(r"\\\1 ", text).replace("*", "\\cdot ")


def _words_key(text: str) -> str | None:
    """Text without its typography; a single letter keeps its case, for it may be a variable."""
    text = re.sub(r"\\(?![A-Za-z])|[{}\"]", "", text)
    spaced = re.search(r"[A-Za-z]{2,}\s+[A-Za-z]|\d\s+\d", text)
    text = (" " if spaced else "").join(text.split()).strip(" .,;")
    return (text if len(text) == 1 else text.casefold()) or None
