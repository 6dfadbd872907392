"""What one round of responses says about a run before it is started: its signal, its cost, and what to change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch

from spine_rl.diagnose.fork_rule import ForkRule
from spine_rl.diagnose.rollouts import Rollouts
from spine_rl.engine.models import get_vision_tower
from spine_rl.voting import summarize_ballots


@dataclass(frozen=True)
class StepPlan:
    """The run that is planned.

    Attributes:
        num_generations: G.
        problems_per_step: Over all processes.
        rows_at_once: Responses of a micro-batch.
        max_completion_length: Longest response, in tokens.
        prompt_suffix: What is put after every problem.
    """

    num_generations: int = 8
    problems_per_step: int = 8
    rows_at_once: int = 8
    max_completion_length: int = 512
    prompt_suffix: str = ""


def measure_signal(rollouts: Rollouts, forks: ForkRule) -> dict[str, float]:
    """Label-free statistics of the round: votes, lengths in tokens, entropies in nats, forks.

    `zero_advantage` is the share of problems whose responses are all rewarded alike, so that a step learns nothing.
    """
    ballots, responses = rollouts.ballots, rollouts.all_responses
    lengths = [len(response.token_ids) for response in responses]
    scores = [scores for scores in rollouts.all_scores if len(scores.entropies)]
    entropies = torch.cat([score.entropies for score in scores])
    picked = torch.cat([forks.select(score) for score in scores])
    low, middle, high = np.percentile(lengths, (10, 50, 90)).tolist()
    return {
        **summarize_ballots(ballots),
        "zero_advantage": fmean(len(set(ballot.rewards)) == 1 for ballot in ballots),
        "length_mean": fmean(lengths),
        "length_p10": low,
        "length_p50": middle,
        "length_p90": high,
        "truncated": fmean(response.truncated for response in responses),
        "entropy": entropies.mean().item(),
        "fork_entropy": entropies[picked].mean().item(),
        "fork_share": picked.float().mean().item(),
    }


def estimate_cost(rollouts: Rollouts, model: Any, plan: StepPlan) -> dict[str, float]:
    """Estimates, not measurements, of one optimiser step on this machine in one process.

    All weights are trained but those of a vision tower, which training leaves as they are by default, in the type that
    they were loaded in; there is no KL anchor, whose reference model would come on top.

    Returns:
        `seconds_per_step`: sampling scaled from the round's, and the update as three forward passes (a backward pass
        is about two). `memory_gib`: weights, gradients and Adam's two moments, and for a micro-batch of the longest
        responses the activations (34 values a token, layer and hidden unit in 16 bits: Korthikanti et al., arXiv
        2205.05198, without the attention matrix) and three copies of its logits in float32. An upper bound for
        methods that run the head at forks alone.
    """
    config = model.config.get_text_config()
    responses_a_step = plan.problems_per_step * plan.num_generations
    scale = responses_a_step / len(rollouts.all_responses)
    weights, frozen = _count_bytes(model), _count_bytes(get_vision_tower(model))
    size = next(model.parameters()).element_size()
    tokens = plan.rows_at_once * (max(map(len, rollouts.prompts)) + plan.max_completion_length)
    activations = tokens * config.hidden_size * config.num_hidden_layers * 34 * size / 2
    logits = 3 * 4 * plan.rows_at_once * plan.max_completion_length * config.vocab_size
    return {
        "responses_per_step": float(responses_a_step),
        "seconds_per_step": scale * (rollouts.generate_seconds + 3 * rollouts.forward_seconds),
        "memory_gib": (4 * weights - 3 * frozen + activations + logits) / 2**30,
    }


def _count_bytes(model: Any) -> int:
    return 0 if model is None else sum(weight.numel() * weight.element_size() for weight in model.parameters())


def advise(signal: Mapping[str, float], plan: StepPlan, prompts: Sequence[str] = ()) -> list[str]:
    """What to change, in words, the gravest first; empty where nothing stands out.

    Args:
        signal: Of `measure_signal`.
        plan: The run.
        prompts: The rendered prompts, to see whether they ask for a form of the answer.
    """
    advice = []
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
    if signal["length_p90"] < plan.max_completion_length / 4:
        advice.append(
            f"nine of ten responses have at most {signal['length_p90']:.0f} tokens: a lower --max_completion_length "
            "saves memory"
        )
    if signal["fork_entropy"] < 0.05:
        advice.append(
            f"entropy at forks is {signal['fork_entropy']:.3f} nats: the model hardly branches; raise --temperature"
        )
    return advice
