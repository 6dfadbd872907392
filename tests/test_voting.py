"""The vote, and the metrics of samples."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_rl.metrics import compute_maj_at_k, compute_mean_at_k, compute_pass_at_k, is_correct
from spine_rl.training.election import Response, hold_election
from spine_rl.voting import elect, hold_vote, judge_ballots, summarize_ballots

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
    ballot = hold_vote("p", keys, leave_one_out=leave_one_out)
    shuffled = hold_vote("p", [keys[i] for i in order], leave_one_out=leave_one_out)
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
    assert list(hold_vote("p", ["1", "2", "2"], leave_one_out=True).rewards) == [0.0, agrees, agrees]
    assert list(hold_vote("p", ["1", "2", "2"]).rewards) == [0.0, 1.0, 1.0]
    assert list(hold_vote("p", ["1"], leave_one_out=True).rewards) == [0.0]


def test_vote_only_responses_elect_but_are_not_rewarded():
    ballot = hold_vote("p", ["1", "1"], ["2", "2", "2"])
    assert ballot.pseudo_label == "2"
    assert list(ballot.rewards) == [0.0, 0.0]
    assert ballot.num_voters == 5


def test_groups_are_found_by_id_wherever_they_stand():
    rows = [("a", "1"), ("b", "5"), ("a", "1"), ("b", "6"), ("a", "2"), ("b", "6")]
    election = hold_election([Response(id_, key, 3, False) for id_, key in rows])
    assert election.rewards.tolist() == [1, 0, 1, 1, 0, 1]
    assert election.group_ids.tolist() == [0, 1, 0, 1, 0, 1]


def test_gold_rewards_replace_the_vote():
    responses = [Response("a", key, 3, False) for key in ("1", "1", "2", None)]
    assert hold_election(responses, gold_rewards={"a": "2"}).rewards.tolist() == [0, 0, 1, 0]


def test_statistics_of_a_step():
    ballots = [hold_vote("a", ["1", "1", "1", "1"]), hold_vote("b", ["1", "2", "3", None])]
    summary = summarize_ballots(ballots)
    assert summary["majority_ratio"] == pytest.approx((1 + 0.25) / 2)
    assert summary["distinct_answers"] == 2
    assert summary["unanimous"] == 0.5
    assert summary["abstained"] == pytest.approx(1 / 8)
    judged = judge_ballots(ballots, {"a": "2"})
    assert judged == {"label_accuracy": 0.0, "reward_accuracy": 0.0}
    assert judge_ballots(ballots, {}) == {}
    assert judge_ballots(ballots, {"a": "1", "b": None}) == {"label_accuracy": 1.0, "reward_accuracy": 1.0}


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
