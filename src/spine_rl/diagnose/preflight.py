"""What one round of responses says about a run before it is started: its signal, its cost, and what to change."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from spine_rl.diagnose.fork_rule import ForkRule
from spine_rl.diagnose.rollouts import Rollouts
from spine_rl.engine.estimate import MemoryEstimate
from spine_rl.voting import Ballot, measure_kappa, summarize_ballots

# With fewer problems kappa says little: of 16 problems with 8 responses its standard deviation is some 0.09.
_PROBLEMS_FOR_KAPPA = 8


@dataclass(frozen=True)
class StepPlan:
    """The run that is planned.

    Attributes:
        num_generations: G.
        responses_sampled: Of a generation, those that only vote included, over all processes.
        responses_trained: Of an optimiser step, over all processes.
        steps_per_rollout: Optimiser steps that a generation serves.
        num_processes: That share the work.
        num_steps: Optimiser steps of the run, 0 where it has too few problems for one; None where that is open.
        max_completion_length: Longest response, in tokens.
    """

    num_generations: int = 8
    responses_sampled: int = 64
    responses_trained: int = 64
    steps_per_rollout: int = 1
    num_processes: int = 1
    num_steps: int | None = None
    max_completion_length: int = 512


def measure_signal(rollouts: Rollouts, forks: ForkRule) -> dict[str, float]:
    """Label-free statistics of the round: votes, lengths in tokens, entropies in nats, forks.

    `zero_advantage` is the share of problems whose responses are all rewarded alike, so that a step learns nothing.
    """
    responses = rollouts.all_responses
    lengths = [len(response.token_ids) for response in responses]
    scores = [scores for scores in rollouts.all_scores if len(scores.entropies)]
    entropies = torch.cat([score.entropies for score in scores])
    picked = torch.cat([forks.select(score) for score in scores])
    return {
        **measure_votes(rollouts.ballots, lengths, [response.truncated for response in responses]),
        "entropy": entropies.mean().item(),
        "fork_entropy": entropies[picked].mean().item(),
        "fork_share": picked.float().mean().item(),
    }


def measure_votes(ballots: Sequence[Ballot], lengths: Sequence[int], truncated: Sequence[bool]) -> dict[str, float]:
    """What `measure_signal` says of votes and lengths, for which nothing has to be scored.

    Args:
        ballots: A problem each.
        lengths: Of every response, in tokens.
        truncated: Whether each ran into the limit.
    """
    kappa = measure_kappa([ballot.votes for ballot in ballots]) if len(ballots) >= _PROBLEMS_FOR_KAPPA else None
    low, middle, high = np.percentile(lengths, (10, 50, 90)).tolist()
    return {
        **summarize_ballots(ballots),
        **({} if kappa is None else {"kappa": kappa}),
        "zero_advantage": fmean(len(set(ballot.rewards)) == 1 for ballot in ballots),
        "length_mean": fmean(lengths),
        "length_p10": low,
        "length_p50": middle,
        "length_p90": high,
        "truncated": fmean(truncated),
    }


def estimate_time(rollouts: Rollouts, plan: StepPlan) -> dict[str, float]:
    """Estimates, not measurements, of an optimiser step on machines like this one.

    Returns:
        `seconds_per_step`: a step's share of its generation, scaled from the round's, and the update as three forward
        passes (a backward pass is about two) that run a prompt once; `hours`, where the number of steps is known.
    """
    drawn = len(rollouts.all_responses)
    sampling = rollouts.generate_seconds * plan.responses_sampled / plan.steps_per_rollout
    update = 3 * rollouts.forward_seconds * rollouts.update_share * plan.responses_trained
    seconds = (sampling + update) / drawn / plan.num_processes
    cost = {"responses_per_step": float(plan.responses_trained), "seconds_per_step": seconds}
    return cost if plan.num_steps is None else cost | {"hours": seconds * plan.num_steps / 3600}


def advise(
    signal: Mapping[str, float], plan: StepPlan, prompts: Sequence[str] = (), memory: MemoryEstimate | None = None
) -> list[str]:
    """What to change, in words, the gravest first; empty where nothing stands out.

    Args:
        signal: Of `measure_signal` or of `measure_votes`, which leaves out what needs scores: that is not judged.
        plan: The run.
        prompts: The rendered prompts, to see whether they ask for a form of the answer.
        memory: What the run will need.
    """
    advice = []
    if memory is not None and (shortage := memory.advise()):
        advice.append(shortage)
    if plan.num_steps == 0:
        advice.append(
            "the data has fewer problems than a step takes: lower --per_device_train_batch_size or "
            "--gradient_accumulation_steps"
        )
    asks = all("boxed" in text or "answer" in text.lower() for text in prompts)
    if signal["truncated"] >= 0.1:
        advice.append(
            f"{signal['truncated']:.0%} of responses ran into {plan.max_completion_length} tokens and may not vote: "
            "raise --max_completion_length, or ask for shorter solutions"
        )
    unread = signal["abstained"] - signal["truncated"]
    if unread >= 0.2:
        suffix = "" if asks else "; the prompts ask for no form: --prompt_suffix ' Put the final answer in \\boxed{}.'"
        advice.append(
            f"{unread:.0%} of responses ended, but no answer was read: check --answer_type and look at them with "
            f"spine inspect{suffix}"
        )
    if signal["unanimous"] >= 0.5:
        advice.append(
            f"{signal['unanimous']:.0%} of problems are unanimous and teach nothing: take harder problems, or more "
            f"problems a step with fewer responses each (now G = {plan.num_generations})"
        )
    elif signal["zero_advantage"] >= 0.5:
        advice.append(f"{signal['zero_advantage']:.0%} of problems have all rewards alike: a step learns from the rest")
    if signal["majority_ratio"] < 0.25 and signal["abstained"] < 0.5:
        advice.append(
            f"the first answer has {signal['majority_ratio']:.0%} of the votes: labels are mostly chance; raise "
            "--num_votes, or leave weak problems out with --vote_min_share"
        )
    chance, kappa = signal.get("chance_agreement", 0.0), signal.get("kappa", 1.0)
    if chance >= 0.2 and kappa < 0.1:
        advice.append(
            f"answers hardly depend on the problem: {chance:.0%} of the responses to different problems agree, and "
            f"those to the same hardly more often (kappa {kappa:.2f}), so that adapting is likely to make one answer "
            "everybody's: try another prompt, or a stronger model"
        )
    if signal.get("length_p90", math.inf) < plan.max_completion_length / 4:
        advice.append(
            f"nine of ten responses have at most {signal['length_p90']:.0f} tokens: a lower --max_completion_length "
            "saves memory"
        )
    if signal.get("fork_entropy", math.inf) < 0.05:
        advice.append(
            f"entropy at forks is {signal['fork_entropy']:.3f} nats: the model hardly branches; raise --temperature"
        )
    return advice
