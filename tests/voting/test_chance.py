"""Agreement within and between problems: by hand, by pairs counted one by one, and by simulation."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_rl.voting import hold_vote, measure_kappa, summarize_ballots
from spine_rl.voting.chance import measure_chance_agreement

KEYS = st.lists(st.sampled_from(["yes", "no", "maybe", None]), min_size=1, max_size=5)


def vote(*problems):
    return [hold_vote(str(index), keys) for index, keys in enumerate(problems)]


def count(*problems):
    return [ballot.votes for ballot in vote(*problems)]


# P and P_e by hand: pairs within a problem, and pairs of one response from each.
@pytest.mark.parametrize(
    ("problems", "chance", "kappa"),
    [
        ((["yes"] * 4, ["no"] * 4), 0.0, 1.0),  # each its own answer
        ((["yes"] * 4, ["yes"] * 4), 1.0, 0.0),  # one answer is everybody's
        ((["yes", "no"], ["yes", "no"]), 0.5, -1.0),  # 0 within
        ((["a", "a", "b"], ["a", "c", "c"]), 2 / 9, (1 / 3 - 2 / 9) / (7 / 9)),
        ((["a", "a", None, None], ["b", "b", None]), 0.0, 1.0),  # no answer agrees with nothing
        ((["a", "a"], ["a"]), 1.0, None),  # a single answer has no pair within its problem
        ((["a", "a"], [None, None]), None, None),
        ((["a", "a"],), None, None),
        ((), None, None),
    ],
)
def test_by_hand(problems, chance, kappa):
    votes = count(*problems)
    assert measure_chance_agreement(votes) == pytest.approx(chance)
    assert measure_kappa(votes) == pytest.approx(kappa)


@given(st.lists(KEYS, min_size=2, max_size=5), st.randoms())
def test_it_counts_pairs_of_different_problems_in_any_order(problems, shuffler):
    answered = [own for keys in problems if (own := [key for key in keys if key is not None])]
    shares = [
        sum(one == other for one in first for other in second) / (len(first) * len(second))
        for first, second in combinations(answered, 2)
    ]
    expected = sum(shares) / len(shares) if shares else None
    found = measure_chance_agreement(count(*problems))
    assert found == pytest.approx(expected)
    for keys in problems:
        shuffler.shuffle(keys)
    shuffler.shuffle(problems)
    assert measure_chance_agreement(count(*problems)) == pytest.approx(found)


def test_answers_that_do_not_read_the_problem_have_a_kappa_about_0():
    """The standard deviation of the mean of 50 is some 0.013, by the docs' 0.09 of one."""
    draw = random.Random(0)
    blind = [
        measure_kappa(count(*(draw.choices(["yes", "no"], [0.7, 0.3], k=8) for _ in range(16)))) for _ in range(50)
    ]
    assert abs(sum(blind) / 50) < 0.05


def test_a_step_of_one_problem_has_none():
    assert "chance_agreement" not in summarize_ballots(vote(["a", "a"]))
    assert summarize_ballots(vote(["a", "a"], ["a", "b"]))["chance_agreement"] == 0.5
