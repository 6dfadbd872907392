"""How far pseudo-labels have moved from the first vote: the label-free sign that a run teaches itself something new."""

from collections.abc import Sequence

from spine_rl.voting import Ballot


class LabelDrift:
    """Remembers each problem's first pseudo-label; a resumed run starts remembering anew.

    The first votes are the unadapted model's (all of them in the first epoch at a usual learning rate). Later votes
    that contradict clear first ones come from the updates, not from the data.
    """

    def __init__(self):
        self._first: dict[str, tuple[str, float]] = {}

    def measure(self, ballots: Sequence[Ballot]) -> dict[str, float]:
        """`label_drift` of a step: the share of its problems, weighted by their first margin, with another label now.

        A problem seen for the first time, or without a label now or then, does not count; empty where none does.
        """
        weight = moved = 0.0
        for ballot in ballots:
            if ballot.pseudo_label is None:
                continue
            if ballot.problem_id not in self._first:
                self._first[ballot.problem_id] = ballot.pseudo_label, ballot.margin
                continue
            label, margin = self._first[ballot.problem_id]
            weight += margin
            moved += margin * (label != ballot.pseudo_label)
        return {"label_drift": moved / weight} if weight > 0 else {}
