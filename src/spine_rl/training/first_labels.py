"""A run against its first votes: label-free signs of whether it learns what the vote knew or something of its own.

Votes of a run's first steps are as good as the unadapted model's. What contradicts clear ones later comes from the
updates, not from the data.
"""

from collections.abc import Sequence

from spine_rl.voting import Ballot, compute_share_and_margin, elect, leave_out

# Problem id → its first pseudo-label, the label's margin, and how many steps the weights had done that voted.
FirstLabels = dict[str, tuple[str, float, int]]
# Weights that have done fewer steps stand for the unadapted model; that others agree in a first vote says nothing.
UNADAPTED_STEPS = 16


def compare_with_first_labels(first: FirstLabels, ballots: Sequence[Ballot], step: int) -> dict[str, float]:
    """Signals of a step; problems weigh by the margin of their first vote, and count once there was one.

    Args:
        first: The run's memory; problems seen for the first time are added to it.
        ballots: The step's.
        step: Steps that the voting weights have done.

    Returns:
        `first_label_share`: mean share of a problem's trained responses that give its first label, which stands in for
        the accuracy that cannot be known; in the first vote itself each response is compared with the others' label,
        because its own vote would make it look right, and only in a run's first steps. `label_drift`: share of the
        problems, of those seen again and labelled now, whose label is another. Each is missing where no problem counts.
    """
    weight = kept = seen_again = moved = 0.0
    for ballot in ballots:
        if ballot.problem_id in first:
            label, margin, _ = first[ballot.problem_id]
            weight += margin
            kept += margin * sum(key == label for key in ballot.keys) / len(ballot.keys)
            if ballot.pseudo_label is not None:
                seen_again += margin
                moved += margin * (label != ballot.pseudo_label)
        elif ballot.pseudo_label is not None:
            first[ballot.problem_id] = ballot.pseudo_label, ballot.margin, step
            if step < UNADAPTED_STEPS:
                others_weight, others_kept = _compare_with_the_others(ballot)
                weight += others_weight
                kept += others_kept
    signals = {"first_label_share": (kept, weight), "label_drift": (moved, seen_again)}
    return {name: total / base for name, (total, base) in signals.items() if base > 0}


def forget_later(first: FirstLabels, step: int) -> None:
    """Forgets labels voted by weights that had done more steps than these, which a run that goes back has left."""
    for problem_id in [problem_id for problem_id, (_, _, voted) in first.items() if voted > step]:
        del first[problem_id]


def _compare_with_the_others(ballot: Ballot) -> tuple[float, float]:
    """The mean margin of a first vote without one of its responses, and what of it goes to that response's answer."""
    weight = kept = 0.0
    for key in ballot.keys:
        votes = ballot.votes if key is None else leave_out(ballot.votes, key)
        _, margin = compute_share_and_margin(votes, ballot.num_voters - 1)
        weight += margin
        kept += margin * (key is not None and key == elect(ballot.problem_id, votes))
    return weight / len(ballot.keys), kept / len(ballot.keys)
