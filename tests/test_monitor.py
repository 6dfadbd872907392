"""The collapse monitor: each signal alone, in steps and epochs, and which weights to keep."""

import pytest

from spine_rl.monitor import RESPONSES, RETRIED_FROM, BestStep, choose_checkpoint, judge_run

SOUND = {
    "vote/majority_ratio": 0.4, "vote/distinct_answers": 5.0, "vote/label_drift": 0.1, "vote/abstained": 0.0,
    "vote/first_label_share": 0.5, "response_length/mean": 50.0, "response_length/truncated": 0.0,
    "entropy/forks": 0.6, "kl": 0.0,
}  # fmt: skip
AGREED = {"vote/majority_ratio": 0.9, "vote/distinct_answers": 1.5, "entropy/forks": 0.1}


def make_rows(steps=20, **end):
    """Sound for the first half, then as `end` says."""
    return [{"step": step, **SOUND, **(end if step > steps // 2 else {})} for step in range(1, steps + 1)]


def make_every_step(shares, responses=512, **signals):
    """Every problem is seen every step."""
    return [
        {**SOUND, "step": step, "epoch": float(step), RESPONSES: responses, "vote/first_label_share": share, **signals}
        for step, share in enumerate(shares, start=1)
    ]


def find_alarm(rows):
    return next((verdict.step for verdict in judge_run(rows) if verdict.alarms), None)


@pytest.mark.parametrize(
    ("end", "word"),
    [
        ({}, None),
        ({"vote/first_label_share": 0.39}, "give the first labels, 50% at best"),
        ({"vote/first_label_share": 0.41}, None),
        ({"vote/label_drift": 0.8}, None),  # weak first votes: another vote of the same model leaves many labels
        ({"vote/label_drift": 0.8, "vote/first_label_share": 0.45}, "has left 80% of its first labels"),
        ({"vote/label_drift": 0.5, "vote/first_label_share": 0.45}, None),
        ({"response_length/mean": 20.0}, "tokens"),
        ({"response_length/mean": 120.0}, "tokens"),
        ({"vote/abstained": 0.3}, "abstentions"),
        ({"response_length/truncated": 0.5}, "truncated"),
        ({"kl": 2.0}, "KL"),
        (AGREED, None),  # it learned
        ({**AGREED, "response_length/mean": 40.0}, "agreement rises"),
    ],
)
def test_each_signal_alone(end, word):
    last = judge_run(make_rows(**end))[-1]
    assert last.alarms == () if word is None else word in last.alarms[0] and len(last.alarms) == 1


# Truncated responses of a run with the defaults on GSM8K: two problems a step, some harder than others.
HARDER = [0.0, 0.1875, 0.0625, 0.25, 0.3125, 0.0625, 0.375, 0.1875, 0.5, 0.25, 0.5, 0.3125, 0.5625]


@pytest.mark.parametrize(("truncated", "alarm"), [(HARDER, None), ([*HARDER[:4], *[0.9] * 6], 7)])
def test_harder_problems_are_no_collapse(truncated, alarm):
    rows = make_every_step([0.5] * len(truncated), responses=16)
    rows = [
        row | {"epoch": row["step"] / 12, "response_length/truncated": share}
        for row, share in zip(rows, truncated, strict=True)
    ]
    assert find_alarm(rows) == alarm


def test_a_signal_that_was_not_logged_is_silent_and_one_bad_step_is_no_alarm():
    bare = [{"step": step, "vote/majority_ratio": 0.4} for step in range(1, 20)]
    assert all(verdict.healthy for verdict in judge_run(bare))
    rows = make_rows()
    rows[15] = {**rows[15], "response_length/mean": 5.0}
    assert all(verdict.healthy for verdict in judge_run(rows))


def test_where_every_problem_is_seen_every_step_it_speaks_from_the_third():
    assert [verdict.early for verdict in judge_run(make_every_step([0.3, 0.5, 0.2]))] == [True, False, False]
    assert find_alarm(make_every_step([0.34, 0.50, 0.2])) == 3
    assert find_alarm(make_every_step([0.34, 0.50, 0.42])) is None  # less than the noise of 512 responses
    assert find_alarm(make_every_step([0.34, 0.50, 0.2], responses=32)) is None  # of 32
    shrinking = make_every_step([0.5] * 4)
    for row in shrinking[1:]:
        row["response_length/mean"] = 20.0
    assert find_alarm(shrinking) == 2


def test_a_real_run_that_won_and_collapsed():
    """SPINE at 1e-5 on 64 problems of GSM8K, all of them every step, 8 responses each."""
    shares = [0.34, 0.50, 0.57, 0.54, 0.25, 0.14, 0.23]
    rows = make_every_step(shares)
    assert find_alarm(rows) == 5
    best = BestStep()
    for verdict in judge_run(rows):
        best.consider(verdict, verdict.step - 1)  # a step's responses are of the weights before its update
    assert (best.step, best.share, best.is_proven) == (2, 0.57, True)


def test_rare_logging_does_not_blind_it():
    """A fall from 0.6 to 0.05 over 60 steps of four an epoch, logged every ten steps as their mean."""
    falling = [0.6 - 0.55 * min(1.0, max(0.0, (step - 10) / 20)) for step in range(1, 61)]
    rows = [
        {**SOUND, "step": last, "epoch": last / 4, RESPONSES: 64, "vote/first_label_share": sum(part) / 10}
        for last, part in ((end, falling[end - 10 : end]) for end in range(10, 61, 10))
    ]
    assert find_alarm(rows) in (20, 30)
    assert find_alarm([{**row, "vote/first_label_share": 0.6} for row in rows]) is None


def test_a_short_run_gets_a_verdict():
    rows = make_rows(steps=10)
    for row in rows[3:]:
        row["response_length/mean"] = 20.0
    assert find_alarm(rows) == 7
    assert [verdict.early for verdict in judge_run(rows)] == [True] * 6 + [False] * 4


def test_a_lucky_first_step_is_no_best_and_a_noisy_fall_no_alarm():
    lucky = make_rows()
    lucky[0]["vote/first_label_share"] = 1.0
    assert find_alarm(lucky) is None
    noisy = make_rows(steps=40)
    for row in noisy[20:]:  # 0.11 lower, now 0.79, now nothing
        row["vote/first_label_share"] = 0.79 if row["step"] % 2 else 0.0
    assert find_alarm(noisy) is None


def test_shares_are_compared_over_the_same_problems():
    """Half of an epoch's problems are easy: windows that hold more of them look better."""
    rows = make_rows(steps=80)
    for row in rows:
        row["vote/first_label_share"] = 0.7 if row["step"] % 16 < 8 else 0.4
    assert find_alarm(rows) is not None
    epochs = judge_run([{**row, "epoch": row["step"] / 16} for row in rows])
    assert all(verdict.healthy for verdict in epochs)
    assert {round(verdict.share.mean, 3) for verdict in epochs[15:]} == {0.55}
    long = judge_run([{**row, "epoch": row["step"] / 400} for row in rows])  # the last 32 are enough
    assert {round(verdict.share.mean, 3) for verdict in long[31:]} == {0.55}


def test_a_signal_must_stand_in_half_of_the_window():
    rows = make_rows(kl=2.0)
    for row in rows:
        if 3 < row["step"] < 13:
            del row["kl"]
    assert find_alarm(rows) == 16  # from the fourth on


def test_the_best_weights_are_before_an_alarm_and_agree_most_with_the_first_votes():
    rows = make_rows(steps=30)
    for row in rows:  # rises to step 15 and falls
        row["vote/first_label_share"] = 0.5 + 0.03 * min(row["step"], 30 - row["step"])
    verdicts = judge_run(rows)
    alarm = find_alarm(rows)
    assert 22 < alarm < 30
    assert choose_checkpoint(verdicts, [0, 5, 10, 18, 22, 30]) == 18  # a window of 8 ends at 18, about the top
    assert choose_checkpoint(verdicts, [0, 30]) == 0


def test_weights_must_be_better_than_the_start_beyond_the_noise():
    worse = judge_run(make_rows(steps=40, **{"vote/first_label_share": 0.45}))  # a fall too small for an alarm
    assert all(verdict.healthy for verdict in worse)
    assert choose_checkpoint(worse, [0, 30, 40]) == 0
    assert choose_checkpoint(judge_run(make_every_step([0.5, 0.51, 0.51])), [0, 1, 2, 3]) == 0
    assert choose_checkpoint(judge_run(make_every_step([0.5, 0.5, 0.53])), [0, 1, 2, 3]) == 2


def test_where_nothing_can_be_compared_the_last_healthy_weights_are_kept():
    silent = judge_run([{"step": step, "vote/majority_ratio": 0.4} for step in range(1, 13)])
    assert choose_checkpoint(silent, [0, 6, 12]) == 12
    assert choose_checkpoint(silent, [0, 6]) == 0  # too early for a verdict
    once = [{**row, "epoch": row["step"] / 30} for row in make_rows(steps=30)]
    for row in once[16:]:  # an epoch goes on with problems that were not seen before
        del row["vote/first_label_share"]
    assert choose_checkpoint(judge_run(once), [0, 12, 24, 30]) == 30


def test_a_retry_makes_the_monitor_forget_the_way_that_was_left():
    rows = make_rows(**{"vote/first_label_share": 0.1})
    well = [{**SOUND, "step": step} for step in range(21, 30)]
    assert judge_run([*rows, *well])[-8].alarms  # one good step does not make a good window
    assert all(verdict.healthy for verdict in judge_run([*rows, {**well[0], RETRIED_FROM: 10.0}, *well[1:]])[20:])


@pytest.mark.parametrize("retried_from", [0, 10])
def test_the_step_after_a_retry_stands_for_one_step(retried_from):
    collapsed = [{**SOUND, "step": step, RESPONSES: 64, "vote/first_label_share": 0.5} for step in range(1, 41)]
    odd = {**collapsed[0], "step": 41, "response_length/mean": 5.0, "vote/first_label_share": 0.35}
    assert find_alarm([*collapsed, odd]) is None
    assert find_alarm([*collapsed, {**odd, RETRIED_FROM: float(retried_from)}]) is None


def test_the_monitor_reads_no_gold():
    rows = make_rows(**{"vote/label_accuracy": 0.0, "vote/pass@1": 0.0, "vote/reward_accuracy": 0.0})
    assert judge_run(rows) == judge_run(make_rows())


# ---- a probe: problems whose votes are taken again, in an epoch in which no problem comes again


def make_probed(shares, every=4, responses=128, **signals):
    """One epoch of 100 steps; the steps' own shares are of first votes and say nothing."""
    rows = [{**SOUND, "step": step, "epoch": step / 100} for step in range(1, every * (len(shares) - 1) + 2)]
    for row in rows:
        del row["vote/label_drift"]
        if row["step"] > 16:
            del row["vote/first_label_share"]
    for share, row in zip(shares, rows[::every], strict=True):
        row |= {"probe/first_label_share": share, "probe/responses": responses, **signals}
    return rows


def test_a_probe_finds_a_collapse_within_the_first_epoch():
    assert find_alarm(make_probed([0.5, 0.55, 0.2])) == 9
    assert find_alarm(make_probed([0.5, 0.55, 0.4])) is None  # noise of 128 responses
    assert find_alarm(make_probed([0.5, 0.55, 0.4], responses=2000)) == 9
    assert find_alarm(make_probed([0.5] * 8)) is None
    assert find_alarm(make_probed([0.5, 0.55, 0.45], **{"probe/label_drift": 0.7})) == 9
    assert find_alarm(make_probed([0.5, 0.55, 0.54], **{"probe/label_drift": 0.7})) is None


@pytest.mark.parametrize(
    ("shares", "kept"),
    [
        ([0.5, 0.6, 0.7, 0.65], 8),
        ([0.5, 0.45, 0.48], 0),
        ([0.5, 0.6, 0.2, 0.2], 4),
        ([0.5], None),  # there is nothing to compare with
    ],
)
def test_the_best_probed_weights_are_kept(shares, kept):
    best = BestStep()
    for verdict in judge_run(make_probed(shares)):
        best.consider(verdict, verdict.step - 1)
    assert (best.step if best.is_proven else None) == kept


def test_where_there_is_a_probe_the_steps_own_shares_do_not_count():
    rows = make_probed([0.5, 0.5, 0.5])
    for row in rows:
        row["vote/first_label_share"] = 0.9 if row["step"] < 5 else 0.1
    assert find_alarm(rows) is None
    assert [verdict.share is not None for verdict in judge_run(rows)] == [step % 4 == 0 for step in range(9)]
