"""How far pseudo-labels have moved from the first vote: the label-free sign that a run teaches itself something new."""

from collections.abc import Sequence

from spine_rl.voting import Ballot

FirstLabels = dict[str, tuple[str, float]]  # problem id → its first pseudo-label, and the label's margin


def measure_label_drift(first: FirstLabels, ballots: Sequence[Ballot]) -> dict[str, float]:
    """`label_drift` of a step: the share of its problems, weighted by their first margin, with another label now.

    The first votes are the unadapted model's (all of them in the first epoch at a usual learning rate). Later votes
    that contradict clear first ones come from the updates, not from the data.

    Args:
        first: The run's memory; problems seen for the first time are added to it.
        ballots: The step's. A problem seen for the first time, or without a label now or then, does not count.

    Returns:
        Empty where no problem counts.
    """
    weight = moved = 0.0
    for ballot in ballots:
        if ballot.pseudo_label is None:
            continue
        if ballot.problem_id not in first:
            first[ballot.problem_id] = ballot.pseudo_label, ballot.margin
            continue
        label, margin = first[ballot.problem_id]
        weight += margin
        moved += margin * (label != ballot.pseudo_label)
    return {"label_drift": moved / weight} if weight > 0 else {}
