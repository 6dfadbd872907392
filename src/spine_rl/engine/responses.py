"""What a decoding loop draws, by row: tokens, what is measured of them, and which rows still run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spine_rl.engine.progress import tell
from spine_rl.errors import ModelError
from spine_rl.objective import widest_float


@dataclass(frozen=True)
class Decoded:
    """Responses as drawn.

    Attributes:
        tokens: (B, P + T) prompts and responses, padded after each.
        measures: (B, T, S) what `Draw` measured of each token, float32; 0 after each response.
        lengths: (B,) tokens of each response, the end token included.
    """

    tokens: Tensor
    measures: Tensor
    lengths: Tensor

    @property
    def logps(self) -> Tensor:
        """(B, T) log-probabilities."""
        return self.measures[..., 0]

    @property
    def entropies(self) -> Tensor | None:
        """(B, T) in nats; None where they were not asked for."""
        return self.measures[..., 1] if self.measures.size(-1) == 2 else None


class Responses:
    """Where the responses to B prompts are gathered, in whichever order their rows are run.

    Attributes:
        uniforms: (T, B) a random number for each token, drawn in advance: which rows have left, or run together,
            changes none.
    """

    def __init__(self, prompts: Tensor, longest: int, pad: int, num_measures: int = 1):
        """
        Args:
            prompts: (B, P), left-padded.
            longest: T, the most tokens of a response.
            pad: The token after a response.
            num_measures: S, of each token.
        """
        self.width, self.longest, self.pad = prompts.size(1), longest, pad
        self._tokens = prompts.new_full((len(prompts), self.width + longest), pad)
        self._tokens[:, : self.width] = prompts
        self._measures = torch.zeros(len(prompts), longest, num_measures, device=prompts.device)
        self._lengths = torch.zeros_like(prompts[:, 0])
        self.uniforms = torch.rand(longest, len(prompts), dtype=widest_float(prompts.device), device=prompts.device)

    def read(self, rows: Tensor, length: int) -> Tensor:
        """(rows, P + length) prompts and first tokens."""
        return self._tokens[rows, : self.width + length]

    def write(self, rows: Tensor, start: int, tokens: Tensor, measures: Tensor, lengths: Tensor | int) -> None:
        """Tokens (rows, n) and their measures (rows, n, S) from a position on, and the responses' lengths by now."""
        stop = start + tokens.size(1)
        self._tokens[rows, self.width + start : self.width + stop] = tokens
        self._measures[rows, start:stop] = measures
        self._lengths[rows] = lengths

    def tell(self, done: int) -> None:
        """Says how many tokens were drawn, of how many if no response ends early."""
        tell("generate", done, self.longest * len(self._tokens), "tokens")

    def finish(self) -> Decoded:
        tell("generate", 1, 1)
        longest = int(self._lengths.max())
        tokens, measures = self._tokens[:, : self.width + longest], self._measures[:, :longest]
        return Decoded(tokens.clone(), measures.clone(), self._lengths)


def check_finite(measures: Tensor) -> None:
    """Of the first tokens drawn.

    Raises:
        ModelError: Some are not finite.
    """
    if not measures.isfinite().all():
        raise ModelError("the model's logits are not finite: its weights are broken, or training has diverged")
