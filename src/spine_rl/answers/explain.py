"""Which rule read what in one response, step by step: for users who wonder, and for whoever adds a rule."""

from collections.abc import Sequence
from dataclasses import dataclass

from spine_rl.answers.extract import READERS
from spine_rl.answers.keys import canonical_key
from spine_rl.answers.mathematics import find_math_rule
from spine_rl.answers.places import MAX_ANSWER, MAX_SCANNED, NO_ANSWER, find_places
from spine_rl.answers.turns import read_final_turn

MAX_SHOWN = 200  # characters of a place's text
PLACES = {
    "boxed": "the last \\boxed{}",
    "tagged": "the last <answer>",
    "named": "the answer that a JSON object names",
    "hashes": "after ####",
    "marked": "after a marker",
    "first": "the first line",
    "final": "the final line",
    "whole": "anything said of a letter",
}
KEYS = {
    "choice": "the option's letter",
    "yes_no": "yes, no or maybe",
    "text": "words without case, articles, punctuation and order of a list",
}


@dataclass(frozen=True)
class Step:
    """One rule at work.

    Attributes:
        rule: In words.
        text: What it was given, shortened.
        result: What came of it.
    """

    rule: str
    text: str
    result: str


def explain_response(
    text: str, answer_type: str = "math", options: Sequence[str] = (), *, complete: bool = True
) -> list[Step]:
    """The steps from a response to its key, as `response_key` takes them; the last result is the key or "no answer"."""
    turn = read_final_turn(text, MAX_SCANNED)
    steps = []
    if turn != text:
        said = (
            f"{len(turn)} of {len(text)} characters are the answer's turn" if turn else "the reasoning was not closed"
        )
        steps.append(Step("reasoning, channels and chat tokens taken off", _shorten(text), said))
    for place in find_places(text, complete=complete):
        answer = READERS[answer_type](place, options)
        shown = _shorten(place.text)
        rule = PLACES[place.kind]
        if answer == NO_ANSWER:
            return [*steps, Step(rule, shown, "declines, or names several or no option: no answer")]
        if not answer or len(answer) > MAX_ANSWER:
            steps.append(Step(rule, shown, "nothing to read"))
            continue
        steps.append(Step(rule, shown, answer))
        key = canonical_key(answer, answer_type, options)
        return [*steps, Step(KEYS.get(answer_type) or find_math_rule(answer), answer, key or "no answer")]
    if not complete:
        steps.append(Step("the response was cut off", "", "its final line does not count"))
    return [*steps, Step("no place is left", "", "no answer")]


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]} … {text[-MAX_SHOWN // 2 :]}"
