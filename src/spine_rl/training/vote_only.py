"""Responses that vote and are not trained on (TTRL's M > G), drawn in waves until a problem's outcome is decided.

The labels, and with them the rewards, are those of a vote of all M (`spine_rl.voting.is_decided`); what is saved are
samples. Every process takes part in every wave, with as many prompts as the others: a process with fewer undecided
problems generates for some prompt of its own again, and drops what comes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelerate.utils import gather_object

from spine_rl.voting import Key, VoteRule, is_decided


@dataclass
class ExtraVotes:
    """Vote-only answers drawn beside one trained response: their keys, and their tokens together."""

    keys: list[Key] = field(default_factory=list)
    length: int = 0


def draw_extra_votes(
    prompts: Sequence[Any],
    problem_ids: Sequence[str],
    keys: Sequence[Key],
    answer: Callable[[list[Any], list[int]], list[tuple[Key, int]]],
    *,
    num_votes: int,
    wave_size: int,
    rule: VoteRule,
    stops_early: bool = True,
    process_index: int = 0,
) -> list[ExtraVotes]:
    """Draws vote-only answers for the problems of all processes, in waves.

    Args:
        prompts: Of this process's trained responses; every process has as many.
        problem_ids: Theirs.
        keys: Their answers.
        answer: Generates a response to each of some prompts, given with their rows, and returns key and length of each.
        num_votes: M, of each problem, the trained responses included.
        wave_size: Responses a problem and wave, at most as many as it has trained ones.
        rule: Of the vote.
        stops_early: No more are drawn once the label is decided; else all are.
        process_index: This process's.

    Returns:
        One entry a trained response, in order.
    """
    extra = [ExtraVotes() for _ in prompts]
    places = _places(problem_ids, process_index)
    while True:
        asked = gather_object(
            [(id_, (key, *more.keys)) for id_, key, more in zip(problem_ids, keys, extra, strict=True)]
        )
        wanted = _wanted(asked, num_votes, wave_size, rule if stops_early else None)
        rows = [row for row, id_ in enumerate(problem_ids) if places[row] in wanted.get(id_, ())]
        count = max(gather_object([len(rows)]))
        if count == 0:
            return extra
        padded = (rows + [0] * count)[:count]
        answers = answer([prompts[row] for row in padded], padded)
        for row, (key, length) in zip(rows, answers, strict=False):
            extra[row].keys.append(key)
            extra[row].length += length


def _places(problem_ids: Sequence[str], process_index: int) -> list[int]:
    """Where in its problem's group each of this process's responses stands, over all processes."""
    everyone: list[str] = gather_object(list(problem_ids))
    seen = Counter(everyone[: process_index * len(problem_ids)])
    places = []
    for id_ in problem_ids:
        places.append(seen[id_])
        seen[id_] += 1
    return places


def _wanted(
    asked: Sequence[tuple[str, tuple[Key, ...]]], num_votes: int, wave_size: int, rule: VoteRule | None
) -> dict[str, set[int]]:
    """The places of each undecided problem's group that draw the next wave, in turn; without a rule none is decided."""
    answers: dict[str, list[Key]] = defaultdict(list)
    group_sizes: Counter[str] = Counter(id_ for id_, _ in asked)
    for id_, keys in asked:
        answers[id_] += keys
    wanted = {}
    for id_, keys in answers.items():
        remaining = num_votes - len(keys)
        votes = Counter(key for key in keys if key is not None)
        if remaining > 0 and (rule is None or not is_decided(id_, votes, len(keys), remaining, rule)):
            drawn = len(keys) - group_sizes[id_]
            wanted[id_] = {(drawn + i) % group_sizes[id_] for i in range(min(wave_size, remaining))}
    return wanted
