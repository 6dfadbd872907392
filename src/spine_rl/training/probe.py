"""The probe: problems whose votes are taken again on the way, so that a long first epoch is judged, too.

Until problems come again, no vote can be compared with a first one. So a few problems are voted on by the model as it
was, and again every so many steps; these responses judge the weights and are not trained on.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from datasets import Dataset
from trl.data_utils import prepare_multimodal_messages

from spine_rl.monitor import PROBE, PROBE_RESPONSES
from spine_rl.training.ballots import VotingTrainer
from spine_rl.training.config import SpineConfig
from spine_rl.training.dataset import get_answer_format
from spine_rl.training.election import Response, hold_election
from spine_rl.training.first_labels import compare_with_first_labels, forget_later

NUM_PROBLEMS = 16
LONG_EPOCH = 16  # steps; in a longer one a run could be lost before problems come again
LEAST_STEPS = 8  # between two votes
SHARE_OF_RESPONSES = 1 / 8  # that the probe may cost, where its interval is not given


@dataclass(frozen=True)
class Probe:
    """Which problems are voted on, and how often.

    Attributes:
        rows: Of the data set; as many for each process.
        steps: Optimiser steps between two votes.
    """

    rows: tuple[int, ...]
    steps: int


def plan_probe(
    args: SpineConfig, *, num_problems: int, max_steps: int, steps_an_epoch: int, num_processes: int = 1
) -> Probe | None:
    """The probe that a configuration asks for; None where it has none.

    Args:
        args: `probe_problems`, which if None is a probe of 16 where an epoch has more than 16 steps, and
            `probe_steps`, which if None is such that the probe adds an eighth to the responses at most.
        num_problems: Of the data set.
        max_steps: Of the run.
        steps_an_epoch: Optimiser steps in which every problem is seen once.
        num_processes: How many take part.
    """
    wanted = args.probe_problems
    if wanted is None:
        wanted = NUM_PROBLEMS if steps_an_epoch > LONG_EPOCH else 0
    count = min(math.ceil(wanted / num_processes), num_problems // num_processes) * num_processes
    fewest = math.ceil(count / args.problems_per_rollout * args.steps_per_rollout / SHARE_OF_RESPONSES)
    steps = args.probe_steps or max(LEAST_STEPS, fewest)
    if count == 0 or (args.probe_problems is None and steps >= max_steps):
        return None
    return Probe(tuple(random.Random(args.seed).sample(range(num_problems), count)), steps)


class ProbingTrainer(VotingTrainer):
    """Takes the probe's votes before a step's responses are drawn, of the same weights."""

    def plan_probe(self, max_steps: int) -> Probe | None:
        """The probe of a run of so many steps; None where it has none, or its data is a stream.

        One begins with the run or not at all: a run that is made longer has no first votes of the model as it was.
        """
        steps_an_epoch = self._steps_an_epoch
        if steps_an_epoch is None or (self.state.global_step > 0 and self._probe_memory["step"] is None):
            return None
        return plan_probe(
            self.args,
            num_problems=len(cast(Dataset, self.train_dataset)),
            max_steps=max_steps,
            steps_an_epoch=steps_an_epoch,
            num_processes=self.accelerator.num_processes,
        )

    def _probe_if_due(self, num_rows: int) -> dict[str, float]:
        """Signals for the collapse monitor; none where no vote is due.

        Args:
            num_rows: Responses that this process may draw at once.
        """
        probe, step = self.plan_probe(self.state.max_steps), self.state.global_step
        memory = self._probe_memory
        if probe is None or (memory["step"] is not None and step < memory["step"] + probe.steps):
            return {}
        with self.clock.phase("probe"):
            election = hold_election(
                self._respond_to_probe(probe, num_rows),
                process_index=self.accelerator.process_index,
                num_processes=self.accelerator.num_processes,
                rule=self.args.vote_rule,
            )
        memory["step"] = step
        memory["responses"] += len(election.responses)
        signals = compare_with_first_labels(memory["labels"], election.ballots, step)
        found = {f"{PROBE}{name}": value for name, value in signals.items()}
        found[PROBE_RESPONSES] = float(len(election.responses))
        self.log_values(found)
        return found

    def _respond_to_probe(self, probe: Probe, num_rows: int) -> list[Response]:
        """This process's part, a problem's responses together."""
        own = probe.rows[self.accelerator.process_index :: self.accelerator.num_processes]
        copies = cast(int, self.num_generations)
        problems = [cast(Dataset, self.train_dataset)[row] for row in own for _ in range(copies)]
        responses = []
        for start in range(0, len(problems), num_rows):
            some = problems[start : start + num_rows]
            formats = [get_answer_format(row.get("answer_type"), row.get("options"), self.args) for row in some]
            answers = self._answer([_build_prompt(row) for row in some], formats)
            responses += [
                Response(str(row["problem_id"]), key, length, truncated=False)
                for row, (key, length) in zip(some, answers, strict=True)
            ]
        return responses

    @property
    def num_probed(self) -> int:
        """Responses that the probe has drawn so far, over all processes."""
        return self._probe_memory["responses"]

    def forget_after(self, step: int) -> None:
        super().forget_after(step)
        forget_later(self._probe_memory["labels"], step)

    @property
    def _probe_memory(self) -> dict[str, Any]:
        """First labels, the step of the last vote, responses so far; kept where transformers writes its checkpoints."""
        nothing: dict[str, Any] = {"labels": {}, "step": None, "responses": 0}
        return cast(dict[str, Any], self.state.stateful_callbacks).setdefault("probe", nothing)


def _build_prompt(row: Mapping[str, Any]) -> Any:
    """With the row's pictures where they are read from."""
    pictures = row.get("images") or ([row["image"]] if row.get("image") is not None else [])
    return prepare_multimodal_messages(row["prompt"], images=pictures) if pictures else row["prompt"]
