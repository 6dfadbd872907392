"""How large the gradients of the loss's terms are beside each other, on one round of a real model's responses.

python benchmarks/loss_terms.py MODEL PROBLEMS.jsonl [NUM_PROBLEMS [LONGEST_RESPONSE]]

For each term (the policy's at forks and at all tokens, the band's pull on forks above and below it) the norm of its
gradient with respect to the upper half of the layers, and the cosines between them; a line of JSON. Policy gradients of
different responses mostly cancel, the band's add up: only whole gradients show that, values of the losses do not.
"""

import itertools
import json
import sys
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spine_rl.diagnose.rollouts import Rollouts, draw_rollouts
from spine_rl.engine.models import load_model_and_tokenizer, move_to_accelerator
from spine_rl.engine.samplers import Decoding, TransformersSampler
from spine_rl.objective import (
    Objective,
    TokenBatch,
    compute_group_advantages,
    compute_logps_and_entropies,
    compute_loss,
)
from spine_rl.problems import PromptStyle, load_problems

NUM_GENERATIONS = 8
TERMS = {
    "policy, forks": Objective(band="none"),
    "policy, all tokens": Objective(fork_selector="all", band="none"),
    "band, above": Objective(band_low_coef=0.0),
    "band, below": Objective(band_high_coef=0.0),
}


def main(model_path: str, data: str, num_problems: str = "4", longest: str = "200") -> None:
    problems = load_problems(data, limit=int(num_problems)).problems
    model, tokenizer = load_model_and_tokenizer(model_path, dtype=torch.float32)
    sampler = TransformersSampler(move_to_accelerator(model), tokenizer)
    style = PromptStyle(None, " Let's think step by step and output the final answer within \\boxed{}.")
    rollouts = draw_rollouts(sampler, problems, style, Decoding(int(longest), top_p=1.0), NUM_GENERATIONS)
    weights = freeze_lower_half(sampler.model)
    gradients, losses = add_gradients(sampler, rollouts, weights)
    norms = {name: dot(gradient, gradient) ** 0.5 for name, gradient in gradients.items()}
    cosines = {
        f"{a} | {b}": dot(gradients[a], gradients[b]) / max(norms[a] * norms[b], 1e-30)
        for a, b in itertools.combinations(TERMS, 2)
    }
    lengths = [len(response.token_ids) for response in rollouts.all_responses]
    entropies = torch.cat([scores.entropies for scores in rollouts.all_scores])
    print(
        json.dumps(
            {
                "responses": len(lengths),
                "mean_length": sum(lengths) / len(lengths),
                "mean_entropy": entropies.mean().item(),
                "rewards": [list(ballot.rewards) for ballot in rollouts.ballots],
                "loss": losses,
                "norm": norms,
                "cosine": cosines,
            }
        )
    )


def freeze_lower_half(model: Any) -> list[Tensor]:
    """The weights of the upper half of the layers, which alone keep a gradient: four of them fit in memory."""
    layers = model.base_model.layers
    model.requires_grad_(False)
    upper = layers[len(layers) // 2 :]
    upper.requires_grad_(True)
    return list(upper.parameters())


def add_gradients(
    sampler: TransformersSampler, rollouts: Rollouts, weights: list[Tensor]
) -> tuple[dict[str, list[Tensor]], dict[str, float]]:
    """Each term's gradient and loss over all responses, a response at a time."""
    rewards = torch.tensor([reward for ballot in rollouts.ballots for reward in ballot.rewards])
    groups = torch.arange(len(rollouts.problems)).repeat_interleave(NUM_GENERATIONS)
    advantages = compute_group_advantages(rewards, groups, std="sample", epsilon=1e-4)
    num_tokens = sum(len(response.token_ids) for response in rollouts.all_responses)
    gradients = {name: [torch.zeros_like(weight) for weight in weights] for name in TERMS}
    losses = dict.fromkeys(TERMS, 0.0)
    prompts = [prompt for prompt in rollouts.prompts for _ in range(NUM_GENERATIONS)]
    for prompt, response, advantage in zip(prompts, rollouts.all_responses, advantages, strict=True):
        batch = score(sampler, prompt, response.token_ids, advantage)
        without_vote = replace(batch, advantages=torch.zeros_like(batch.advantages))  # the policy's term is then 0
        for name, objective in TERMS.items():
            shown = batch if objective.band == "none" else without_vote
            loss = compute_loss(shown, objective, num_response_tokens=num_tokens, num_forks=1).loss
            losses[name] += loss.item()
            for total, part in zip(gradients[name], torch.autograd.grad(loss, weights, retain_graph=True), strict=True):
                total += part
    return gradients, losses


def score(sampler: TransformersSampler, prompt: Any, token_ids: list[int], advantage: Tensor) -> TokenBatch:
    """One response as a batch, with gradient."""
    model: Any = sampler.model
    inputs = {name: values.to(model.device) for name, values in sampler.encode([prompt + token_ids]).items()}
    with torch.autocast(model.device.type, torch.bfloat16):
        logits = model(**inputs, logits_to_keep=len(token_ids) + 1).logits[:, :-1].float()
    targets = inputs["input_ids"][:, -len(token_ids) :]
    logps, entropies = compute_logps_and_entropies(logits, targets, 1.0)
    mask = torch.ones_like(targets, dtype=torch.bool)
    return TokenBatch(logps, entropies, mask, advantage.to(model.device).reshape(1))


def dot(one: list[Tensor], other: list[Tensor]) -> float:
    return sum((a.double() * b.double()).sum().item() for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
