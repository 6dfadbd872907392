"""Label rules: each by hand, and what holds for all of them."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_rl.errors import ConfigError
from spine_rl.training.election import Response, hold_election, skip_problems
from spine_rl.voting import (
    LABEL_RULES,
    STATISTICS,
    Poll,
    VoteRule,
    choose_skipped,
    forget_votes,
    get_label_rule,
    hold_vote,
    remember_votes,
)
from spine_rl.voting.evol import compare_profiles, count_pairs

LEAVE_ONE_OUT = VoteRule(leave_one_out=True)
MIXED = ["a", "a", "a", "a", "b", "b", "c", None]
MIXED_ENTROPIES = [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.5, 9.0]  # of the readable 1.7 / 7 = 0.2428571
WEAK = [*"aaaabbbcde"]  # 0.4, 0.3 and three of 0.1: the lead is 0.1, so there is no positive label
WEAK_ENTROPIES = [0.2] * 7 + [0.5, 0.1, 0.3]  # mean 0.23

CASES = [
    ("majority", Poll("p", ["a", "a", "b", None]), [1, 1, 0, 0]),
    ("soft-vote", Poll("p", ["a", "a", "b", None]), [1 / 2, 1 / 2, 1 / 4, 0]),
    ("soft-vote", Poll("p", ["a", "a", "b", None], rule=LEAVE_ONE_OUT), [1 / 3, 1 / 3, 0, 0]),
    ("soft-vote", Poll("p", ["a", "b"], ["b", "b"]), [1 / 4, 3 / 4]),
    ("soft-vote", Poll("p", ["a", "b"], rule=VoteRule(min_share=0.6)), [0, 0]),
    # 0.1 + 0.2 for a, 0.7 for b
    ("confidence-vote", Poll("p", ["a", "a", "b"], mean_logps=[math.log(w) for w in (0.1, 0.2, 0.7)]), [0, 0, 1]),
    ("confidence-vote", Poll("p", ["a", "a", "b"], mean_logps=[math.log(w) for w in (0.4, 0.4, 0.7)]), [1, 1, 0]),
    # a: 0.5 − 0.1·(0.15 − 0.2428571); b: −0.1·(0.3 − 0.2428571); c has a share of 0.125: not rare
    (
        "scrl",
        Poll("p", MIXED, mean_entropies=MIXED_ENTROPIES),
        [0.50928571] * 4 + [-0.00571429] * 2 + [-0.02571429, -1],
    ),
    # c: 0.1 − 0.125 − 0.1·0.27; d is sure of itself, so no negative label: 0.1·0.13; e: 0.1 − 0.125 − 0.1·0.07
    ("scrl", Poll("p", WEAK, mean_entropies=WEAK_ENTROPIES), [0.003] * 7 + [-0.052, 0.013, -0.032]),
    # a: 2/0.1 = 20 of 22, and 0.1·0.5·0.91; b: 1/0.5 = 2 of 22 is under 0.1
    (
        "dare",
        Poll("p", ["a", "a", "b", None], mean_entropies=[0.09, 0.09, 0.49, 0.0]),
        [20 / 22 + 0.0455, 20 / 22 + 0.0455, 0, 0],
    ),
    ("dare", Poll("p", ["a", "b"], mean_entropies=[0.19, 0.39]), [2 / 3 + 0.0405, 1 / 3 + 0.0305]),
    # the first two are the same: equal novelty on a side is a half; b stands alone
    ("evol", Poll("p", ["a", "a", "b", None], tokens=[[1, 2], [1, 2], [3], [1]]), [0.75, 0.75, -0.75, -1]),
    # similarity of [1, 2] and [1, 3]: one pair of three; u = 1/6, 2/3, 1/6
    ("evol", Poll("p", ["a", "a", "a"], tokens=[[1, 2], [1, 3], [1, 2]]), [0.5, 1, 0.5]),
    ("self-certainty", Poll("p", ["a", "b", None], self_certainties=[3.0, 2.5, 9.0]), [3.0, 2.5, 2.5]),
    ("entropy", Poll("p", ["a", None, "b"], mean_entropies=[0.5, 0.1, 0.2]), [-0.5, -0.5, -0.2]),
]


@pytest.mark.parametrize(("name", "poll", "expected"), CASES)
def test_cases_by_hand(name, poll, expected):
    assert list(LABEL_RULES[name].reward(poll).rewards) == pytest.approx(expected)


def test_every_rule_but_controls_has_a_case():
    assert LABEL_RULES.keys() - {name for name, *_ in CASES} == {"gold", "random", "none"}


def test_a_weighted_vote_changes_the_label_and_not_the_counts():
    poll = Poll("p", ["a", "a", "b"], mean_logps=[-3.0, -3.0, -0.1])
    ballot = LABEL_RULES["confidence-vote"].reward(poll)
    assert ballot.pseudo_label == "b"
    assert ballot.votes == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("one", "other", "similarity"),
    [([1, 2], [1, 2], 1.0), ([1, 2], [2, 1], 0.0), ([1, 2], [1, 3], 1 / 3), ([], [], 1.0), ([7], [8], 0.0)],
)
def test_similarity_is_of_neighbouring_tokens(one, other, similarity):
    assert compare_profiles(count_pairs(one), count_pairs(other)) == pytest.approx(similarity)


RESPONSES = st.lists(
    st.tuples(
        st.sampled_from([None, "1", "2", "3"]),
        st.floats(-900, 0),
        st.floats(0, 12),
        st.floats(0, 12),
        st.lists(st.integers(0, 3), max_size=4),
    ),
    min_size=1,
    max_size=9,
)


def make_poll(rows, **given):
    keys, logps, entropies, certainties, tokens = zip(*rows, strict=True)
    return Poll(
        "p",
        keys,
        lengths=[len(ids) for ids in tokens],
        tokens=tokens,
        mean_logps=logps,
        mean_entropies=entropies,
        self_certainties=certainties,
        **given,
    )


@pytest.mark.parametrize("name", LABEL_RULES)
@settings(max_examples=60, deadline=None)
@given(rows=RESPONSES, shuffler=st.randoms(use_true_random=False), leave_one_out=st.booleans())
def test_order_changes_nothing_and_no_answer_never_wins(name, rows, shuffler, leave_one_out):
    rule = LABEL_RULES[name]
    given_rule = VoteRule(leave_one_out=leave_one_out and rule.leaves_one_out)
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    ballot = rule.reward(make_poll(rows, rule=given_rule, gold_key="1"))
    shuffled = rule.reward(make_poll([rows[i] for i in order], rule=given_rule, gold_key="1"))
    assert shuffled.pseudo_label == ballot.pseudo_label
    assert list(shuffled.rewards) == pytest.approx([ballot.rewards[i] for i in order], abs=1e-12)
    assert all(map(math.isfinite, ballot.rewards))
    unread = [reward for (key, *_), reward in zip(rows, ballot.rewards, strict=True) if key is None]
    read = [reward for (key, *_), reward in zip(rows, ballot.rewards, strict=True) if key is not None]
    assert not unread or not read or max(unread) <= min(read)


@pytest.mark.parametrize("name", [name for name, rule in LABEL_RULES.items() if rule.leaves_one_out])
@settings(max_examples=60, deadline=None)
@given(rows=RESPONSES)
def test_an_answer_that_nobody_shares_is_not_rewarded_by_its_own_vote(name, rows):
    rewards = LABEL_RULES[name].reward(make_poll(rows, rule=LEAVE_ONE_OUT)).rewards
    keys = [key for key, *_ in rows]
    assert all(reward <= 0 for key, reward in zip(keys, rewards, strict=True) if keys.count(key) == 1)


@pytest.mark.parametrize("name", LABEL_RULES)
@given(size=st.integers(2, 8), row=RESPONSES.map(lambda rows: rows[0]))
def test_responses_that_are_alike_are_rewarded_alike(name, size, row):
    rewards = LABEL_RULES[name].reward(make_poll([row] * size, gold_key="1")).rewards
    assert rewards == pytest.approx([rewards[0]] * size)


def test_an_unknown_rule_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"label_rule='soft_vote': unknown.*soft-vote"):
        get_label_rule("soft_vote")


def test_statistics_reach_a_rule_by_response_wherever_it_stands():
    rows = [("a", "1", 0.2), ("b", "5", 0.3), ("a", "2", 0.1), ("b", "6", 0.4)]
    responses = [Response(id_, key, 3, False, statistics={"mean_entropies": entropy}) for id_, key, entropy in rows]
    rewards = hold_election(responses, label_rule=LABEL_RULES["entropy"]).rewards
    assert rewards.tolist() == pytest.approx([-0.2, -0.3, -0.1, -0.4])


@pytest.mark.parametrize("name", LABEL_RULES)
def test_two_processes_that_share_problems_reward_as_one(name, monkeypatch):
    rng = random.Random(0)
    everyone = [
        Response(
            rng.choice("pqr"),
            rng.choice(["1", "2", None]),
            3,
            False,
            tokens=tuple(rng.choices(range(4), k=3)),
            statistics={statistic: rng.random() for statistic in STATISTICS},
        )
        for _ in range(24)
    ]
    given_too = {"label_rule": LABEL_RULES[name], "gold_keys": dict.fromkeys("pqr", "1"), "draw": "0/0"}
    whole = hold_election(everyone, **given_too).rewards
    assert name == "none" or whole.std() > 0
    monkeypatch.setattr("spine_rl.training.election.gather_object", lambda _: everyone)
    for rank in range(2):
        own = everyone[12 * rank : 12 * rank + 12]
        election = hold_election(own, process_index=rank, num_processes=2, **given_too)
        assert election.rewards[election.local].tolist() == whole[12 * rank : 12 * rank + 12].tolist()


def test_gold_reaches_the_rule_that_is_named_for_it_and_no_other():
    seen = []

    def spy(poll):
        seen.append(poll.gold_key)
        return poll.hold_vote()

    responses = [Response("p", "1", 3, False)]
    hold_election(responses, label_rule=replace(LABEL_RULES["majority"], reward=spy), gold_keys={"p": "2"})
    assert seen == [None]


# ---- flip-guard


def vote(history, step, **keys):
    ballots = [hold_vote(problem, answers) for problem, answers in keys.items()]
    remember_votes(history, ballots, step)
    return ballots


def test_a_problem_whose_label_flipped_and_is_trusted_is_left_out_seven_times_in_ten():
    history = {}
    vote(history, 0, p=["1", "1", "2"], q=["1", "1", "1"])
    ballots = vote(history, 1, p=["2", "2", "2"], q=["1", "1", "1"])
    ballots += [hold_vote(f"r{i}", ["1"]) for i in range(2)]
    skipped = [choose_skipped(history, ballots, f"0/{step}") for step in range(1000)]
    assert set(skipped) == {frozenset(), frozenset({"p"})}
    assert 640 <= skipped.count(frozenset({"p"})) <= 760  # 700 ± 4 standard deviations
    assert skipped == [choose_skipped(history, ballots[::-1], f"0/{step}") for step in range(1000)]


def test_a_flipped_problem_that_is_not_trusted_stays():
    history = {}
    vote(history, 0, p=["1", "1", "2", "3"])
    ballots = vote(history, 1, p=["2", "2", "1", "3"])  # a share of one half, not above
    ballots += [hold_vote(f"r{i}", ["1"]) for i in range(3)]
    assert not any(choose_skipped(history, ballots, f"0/{step}") for step in range(50))


def test_at_most_a_quarter_of_a_step_is_left_out():
    history, problems = {}, [f"p{i}" for i in range(8)]
    vote(history, 0, **{problem: ["1", "1"] for problem in problems})
    ballots = vote(history, 1, **{problem: ["2", "2"] for problem in problems})
    sizes = [len(choose_skipped(history, ballots, f"0/{step}")) for step in range(50)]
    assert max(sizes) == 2
    assert choose_skipped(history, ballots[:3], "0/0") == frozenset()


def test_five_votes_are_remembered_and_later_ones_can_be_forgotten():
    history = {}
    for step, label in enumerate("1112222"):
        vote(history, step, p=[label, label])
    assert history["p"] == ([(step, label, 1.0) for step, label in enumerate("1112222")][2:], 3)
    forget_votes(history, 2)
    assert history == {"p": ([(2, "1", 1.0)], -1)}
    forget_votes(history, 1)
    assert history == {}


def test_a_problem_that_is_left_out_has_no_reward_and_others_keep_theirs():
    responses = [Response(id_, key, 3, False) for id_, key in (("a", "1"), ("b", "1"), ("a", "1"), ("b", "2"))]
    election = hold_election(responses, label_rule=LABEL_RULES["soft-vote"])
    assert skip_problems(election, {"a"}).rewards.tolist() == [0, 0.5, 0, 0.5]
    assert skip_problems(election, ()).rewards.tolist() == [1, 0.5, 1, 0.5]
