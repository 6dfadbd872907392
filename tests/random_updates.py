"""Updates of random shapes: what a run may come upon, in 16 bits beside 32."""

import torch

from spine_rl.engine.shared_batch import SharedBatch
from spine_rl.objective import Objective, TokenBatch, compute_group_advantages, compute_loss

OBJECTIVES = (Objective(), Objective(fork_selector="all", band="none"))


def draw_batch(seed):
    """Prompts of other lengths, padded on the left; responses of other lengths, some of one token or none; rewards."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high, *shape):
        return torch.randint(low, high + 1, shape, generator=generator)

    prompts, width, longest = (int(draw(low, high)) for low, high in ((1, 4), (1, 40), (1, 60)))
    group = torch.arange(prompts).repeat_interleave(draw(1, 6, prompts))
    prompt_mask = (torch.arange(width) >= width - draw(1, width, prompts).unsqueeze(1)).long()
    lengths = draw(0, longest, len(group))
    lengths[torch.rand(len(group), generator=generator) < 0.2] = 1
    lengths[torch.rand(len(group), generator=generator) < 0.1] = 0
    mask = (torch.arange(longest) < lengths.unsqueeze(1)).long()
    rewards = (torch.rand(len(group), generator=generator) < 0.5).double()
    unanimous = torch.rand(prompts, generator=generator) < 0.4
    rewards = torch.where(unanimous[group], 1.0, rewards)
    ids, completions = draw(10, 250, prompts, width), draw(10, 250, len(group), longest)
    advantages = compute_group_advantages(rewards, group).float()
    return SharedBatch(
        ids * prompt_mask, prompt_mask, completions * mask, mask, group, advantages == advantages
    ), advantages


def run_update(model, pieces, mask, advantages, objective, weights):
    """Gradients of the objective, and of a sum of all statistics weighted as given: which tokens are forks may differ
    between precisions."""
    found = []
    for weighted in (False, True):
        model.zero_grad()
        for piece in pieces():
            if weighted:
                loss = (piece.logps * weights[0, piece.rows] + piece.entropies * weights[1, piece.rows]).sum()
            else:
                values = TokenBatch(piece.logps, piece.entropies, mask[piece.rows], advantages[piece.rows])
                loss = compute_loss(values, objective, num_response_tokens=mask.sum(), num_forks=1.0).loss
            assert torch.isfinite(loss)
            if loss.requires_grad:
                loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found.append(torch.cat([gradient.flatten() for gradient in gradients]) if gradients else torch.zeros(1))
    return found
