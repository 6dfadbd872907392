"""The vote, and the metrics of samples."""

import itertools
import math
import random as random_module
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spine_rl.evaluation.metrics import compute_maj_at_k, compute_mean_at_k, compute_pass_at_k, is_correct
from spine_rl.training.election import Response, hold_election
from spine_rl.voting import LABEL_RULES, VoteRule, elect, hold_vote, is_decided, judge_ballots, summarize_ballots

LEAVE_ONE_OUT = VoteRule(leave_one_out=True)
key_lists = st.lists(st.sampled_from([None, "1", "2", "3", "x"]), min_size=1, max_size=12)


def test_majority_wins_and_agreement_is_rewarded():
    ballot = hold_vote("p", ["1", "2", "1", None])
    assert ballot.pseudo_label == "1"
    assert list(ballot.rewards) == [1.0, 0.0, 1.0, 0.0]
    assert ballot.majority_ratio == 0.5
    assert ballot.num_abstentions == 1


def test_abstentions_never_win():
    assert hold_vote("p", [None, None, None, "7"]).pseudo_label == "7"
    ballot = hold_vote("p", [None, None])
    assert ballot.pseudo_label is None
    assert list(ballot.rewards) == [0.0, 0.0]
    assert ballot.majority_ratio == 0.0


@given(key_lists, st.randoms(use_true_random=False), st.booleans())
def test_order_changes_nothing(keys, random, leave_one_out):
    order = list(range(len(keys)))
    random.shuffle(order)
    ballot = hold_vote("p", keys, rule=VoteRule(leave_one_out=leave_one_out))
    shuffled = hold_vote("p", [keys[i] for i in order], rule=VoteRule(leave_one_out=leave_one_out))
    assert shuffled.pseudo_label == ballot.pseudo_label
    assert list(shuffled.rewards) == [ballot.rewards[i] for i in order]


@given(key_lists)
def test_winner_has_most_votes(keys):
    winner = hold_vote("p", keys).pseudo_label
    votes = Counter(key for key in keys if key is not None)
    assert (winner is None) == (not votes)
    assert winner is None or votes[winner] == max(votes.values())


def test_ties_favour_no_answer():
    wins = Counter(elect(f"problem {i}", {"A": 3, "B": 3}) for i in range(2000))
    assert abs(wins["A"] - 1000) < 5 * math.sqrt(500)


def test_leave_one_out_takes_the_own_vote_away():
    agrees = float(elect("p", {"1": 1, "2": 1}) == "2")  # what is left for a "2": one vote each
    assert list(hold_vote("p", ["1", "2", "2"], rule=LEAVE_ONE_OUT).rewards) == [0.0, agrees, agrees]
    assert list(hold_vote("p", ["1", "2", "2"]).rewards) == [0.0, 1.0, 1.0]
    assert list(hold_vote("p", ["1"], rule=LEAVE_ONE_OUT).rewards) == [0.0]


def test_vote_only_responses_elect_but_are_not_rewarded():
    ballot = hold_vote("p", ["1", "1"], ["2", "2", "2"])
    assert ballot.pseudo_label == "2"
    assert list(ballot.rewards) == [0.0, 0.0]
    assert ballot.num_voters == 5


def test_a_problem_abstains_where_share_or_margin_is_too_small():
    keys = ["1", "1", "2", None]
    assert hold_vote("p", keys, rule=VoteRule(min_share=0.5)).pseudo_label == "1"
    assert hold_vote("p", keys, rule=VoteRule(min_margin=0.25)).pseudo_label == "1"
    for rule in (VoteRule(min_share=0.51), VoteRule(min_margin=0.26)):
        ballot = hold_vote("p", keys, rule=rule)
        assert ballot.pseudo_label is None
        assert list(ballot.rewards) == [0.0] * 4
        assert (ballot.majority_ratio, ballot.margin) == (0.5, 0.25)


def test_weights_decide_a_weighted_vote_whatever_their_order():
    ballot = hold_vote("p", ["1", "2", "1", None], weights=[0.1, 0.7, 0.2, 1.0])
    assert ballot.pseudo_label == "2"
    assert ballot.majority_ratio == pytest.approx(0.7 / 2)
    assert list(ballot.rewards) == [0.0, 1.0, 0.0, 0.0]
    terms = [0.1, 0.2, 0.3, 1e16, -0.0]
    votes = {hold_vote("p", ["1"] * 5, weights=order).votes["1"] for order in itertools.permutations(terms)}
    assert len(votes) == 1
    for weights in ([1.0], [1.0, -1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="as many weights"):
            hold_vote("p", ["1", "2"], weights=weights)


@given(st.lists(st.tuples(st.sampled_from([None, "1", "2"]), st.sampled_from([0.1, 0.2, 0.3, 1e17])), min_size=1))
@example([("1", 0.1), ("1", 0.2), ("2", 0.2)])
@example([("1", 0.1), ("1", 1e17)])
def test_a_weighted_vote_without_ones_own_is_the_vote_of_the_others(voters):
    keys, weights = zip(*voters, strict=True)
    rewards = hold_vote("p", keys, rule=LEAVE_ONE_OUT, weights=weights).rewards
    for index, (key, _) in enumerate(voters):
        others: dict[str, Fraction] = {}
        for other, weight in (*voters[:index], *voters[index + 1 :]):
            if other is not None:
                others[other] = others.get(other, Fraction(0)) + Fraction(weight)
        assert rewards[index] == float(key is not None and key == elect("p", others))


RULES = [VoteRule(), LEAVE_ONE_OUT, VoteRule(min_share=0.5), VoteRule(min_margin=0.2), VoteRule(0.4, 0.3, True)]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_early_stopping_gives_the_labels_and_rewards_of_full_voting(rule):
    rng = random_module.Random(1)
    drawn = asked = 0
    for group in range(2_000):  # times five rules: 10,000
        keys = rng.choices([*"ABCDE", None], weights=[rng.random() ** 3 for _ in range(6)], k=32)
        trained = keys[:8]
        full = hold_vote(str(group), trained, keys[8:], rule=rule)
        stop = 8
        while not is_decided(str(group), Counter(k for k in keys[:stop] if k is not None), stop, 32 - stop, rule):
            stop += 4
        early = hold_vote(str(group), trained, keys[8:stop], rule=rule)
        assert early.pseudo_label == full.pseudo_label
        assert list(early.rewards) == list(full.rewards)
        drawn, asked = drawn + stop - 8, asked + 24
    assert drawn < 0.95 * asked


@given(
    st.lists(st.sampled_from([None, "1", "2", "3"]), max_size=7),
    st.integers(1, 3),
    st.sampled_from(RULES),
    st.sampled_from(["p", "q", "r"]),
)
def test_a_decided_vote_stays_decided_whatever_comes(keys, num_remaining, rule, problem_id):
    votes = Counter(key for key in keys if key is not None)
    outcomes = {
        (
            hold_vote(problem_id, keys, rest, rule=rule).pseudo_label,
            tuple(hold_vote(problem_id, keys, rest, rule=rule).rewards),
        )
        for rest in itertools.product([None, "1", "2", "3", "new"], repeat=num_remaining)
    }
    if is_decided(problem_id, votes, len(keys), num_remaining, rule):
        assert len(outcomes) == 1


def test_groups_are_found_by_id_wherever_they_stand():
    rows = [("a", "1"), ("b", "5"), ("a", "1"), ("b", "6"), ("a", "2"), ("b", "6")]
    election = hold_election([Response(id_, key, 3, False) for id_, key in rows])
    assert election.rewards.tolist() == [1, 0, 1, 1, 0, 1]
    assert election.group_ids.tolist() == [0, 1, 0, 1, 0, 1]


def reward(rule, keys, **given):
    responses = [Response("a", key, 3, False) for key in keys]
    return hold_election(responses, label_rule=LABEL_RULES[rule], **given).rewards.tolist()


def test_gold_rewards_replace_the_vote():
    assert reward("gold", ("1", "1", "2", None), gold_keys={"a": "2"}) == [0, 0, 1, 0]


def test_no_label_rewards_nobody():
    assert reward("none", ("1", "1", None)) == [0, 0, 0]


def test_a_random_label_is_any_answer_alike_and_seeded():
    """7 responses of 8 agree: the vote would always reward them, a random label as often as the eighth."""
    keys = ["1"] * 7 + ["2"]
    drawn = [reward("random", keys, draw=f"0/{step}") for step in range(400)]
    assert drawn == [reward("random", keys, draw=f"0/{step}") for step in range(400)]
    assert drawn != [reward("random", keys, draw=f"1/{step}") for step in range(400)]
    assert {tuple(rewards) for rewards in drawn} == {(1.0,) * 7 + (0.0,), (0.0,) * 7 + (1.0,)}
    assert 160 <= sum(rewards[0] for rewards in drawn) <= 240  # 200 ± 4 standard deviations
    assert reward("random", [None]) == [0]


def test_statistics_of_a_step():
    ballots = [hold_vote("a", ["1", "1", "1", "1"]), hold_vote("b", ["1", "2", "3", None])]
    summary = summarize_ballots(ballots)
    assert summary["majority_ratio"] == pytest.approx((1 + 0.25) / 2)
    assert summary["distinct_answers"] == 2
    assert summary["unanimous"] == 0.5
    assert summary["abstained"] == pytest.approx(1 / 8)
    judged = judge_ballots(ballots, {"a": "2"})
    assert judged == {"label_accuracy": 0.0, "reward_accuracy": 0.0, "pass@1": 0.0}
    assert judge_ballots(ballots, {}) == {}
    right = {"label_accuracy": 1.0, "reward_accuracy": 1.0, "pass@1": 1.0}
    assert judge_ballots(ballots, {"a": "1", "b": None}) == right


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_mean_over_subsets(case):
    n, correct, k = case
    outcomes = [True] * correct + [False] * (n - correct)
    expected = [any(subset) for subset in itertools.combinations(outcomes, k)]
    assert compute_pass_at_k(n, correct, k) == pytest.approx(sum(expected) / len(expected))


def test_metrics_of_samples():
    assert compute_mean_at_k(["1", None, "2", "1"], "1") == 0.5
    assert compute_maj_at_k("p", ["1", None, None, "1"], "1") == 1.0
    assert compute_maj_at_k("p", [None, None], None) == 0.0
    assert not is_correct(None, None)
    with pytest.raises(ValueError, match="pass@k needs"):
        compute_pass_at_k(4, 1, 5)
