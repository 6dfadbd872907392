"""What a decoding loop draws, by row: tokens, their log-probabilities, and which rows still run."""

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
        logps: (B, T) log-probabilities of their tokens as `Draw` gives them, float32; 0 after each response.
        lengths: (B,) tokens of each response, the end token included.
    """

    tokens: Tensor
    logps: Tensor
    lengths: Tensor


class Responses:
    """Where the responses to B prompts are gathered, in whichever order their rows are run.

    Attributes:
        uniforms: (T, B) a random number for each token, drawn in advance: which rows have left, or run together,
            changes none.
    """

    def __init__(self, prompts: Tensor, longest: int, pad: int):
        """
        Args:
            prompts: (B, P), left-padded.
            longest: T, the most tokens of a response.
            pad: The token after a response.
        """
        self.width, self.longest, self.pad = prompts.size(1), longest, pad
        self._tokens = prompts.new_full((len(prompts), self.width + longest), pad)
        self._tokens[:, : self.width] = prompts
        self._logps = torch.zeros(len(prompts), longest, device=prompts.device)
        self._lengths = torch.zeros_like(prompts[:, 0])
        self.uniforms = torch.rand(longest, len(prompts), dtype=widest_float(prompts.device), device=prompts.device)

    def read(self, rows: Tensor, length: int) -> Tensor:
        """(rows, P + length) prompts and first tokens."""
        return self._tokens[rows, : self.width + length]

    def write(self, rows: Tensor, start: int, tokens: Tensor, logps: Tensor, lengths: Tensor | int) -> None:
        """Tokens and log-probabilities (rows, n) from a position of the responses on, and how long they are by now."""
        stop = start + tokens.size(1)
        self._tokens[rows, self.width + start : self.width + stop] = tokens
        self._logps[rows, start:stop] = logps
        self._lengths[rows] = lengths

    def tell(self, done: int) -> None:
        """Says how many tokens were drawn, of how many if no response ends early."""
        tell("generate", done, self.longest * len(self._tokens), "tokens")

    def finish(self) -> Decoded:
        tell("generate", 1, 1)
        longest = int(self._lengths.max())
        return Decoded(self._tokens[:, : self.width + longest].clone(), self._logps[:, :longest].clone(), self._lengths)


def check_finite(logps: Tensor) -> None:
    """Of the first tokens drawn.

    Raises:
        ModelError: Some are not finite.
    """
    if not logps.isfinite().all():
        raise ModelError("the model's logits are not finite: its weights are broken, or training has diverged")
