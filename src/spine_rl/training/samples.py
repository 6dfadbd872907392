"""`samples.jsonl`: a few responses of every so many steps, with each token's entropy and whether it was a fork."""

from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import TrainerCallback

from spine_rl.engine.token_text import split_text
from spine_rl.objective import ObjectiveOutput, TokenBatch
from spine_rl.runs.rows import append_rows, drop_rows_after
from spine_rl.runs.run_folder import SAMPLES_FILE

_ROWS = 2  # of a step


class TokenRecorder(Protocol):
    """Is shown every micro-batch of an update, on the main process."""

    def record(self, step: int, inputs: dict[str, Any], batch: TokenBatch, output: ObjectiveOutput) -> None: ...


class SampleFile(TrainerCallback):
    """Appends rows: `step`, `prompt`, `tokens` (texts), `entropies` (nats), `forks` (positions), `advantage`, `band`.

    The rows are the first ones of the step's first micro-batch, on the main process; without those whose entropies are
    not finite, as JSON has no such numbers. A resumed run first drops the rows after its checkpoint.
    """

    def __init__(self, folder: Path, tokenizer: Any, *, every: int = 10):
        self._path, self._tokenizer, self._every = folder / SAMPLES_FILE, tokenizer, every
        self._last_step = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self._last_step = 0
        if state.is_world_process_zero:
            drop_rows_after(self._path, state.global_step)

    def record(self, step: int, inputs: dict[str, Any], batch: TokenBatch, output: ObjectiveOutput) -> None:
        """Writes responses of a micro-batch, if it is the first of a step that is due.

        Args:
            step: The optimiser step, counted from 1.
            inputs: Token ids and masks of the micro-batch, as TRL has them.
            batch: Its (B, T) statistics.
            output: What the objective decided.
        """
        if step == self._last_step or (step != 1 and step % self._every):
            return
        self._last_step = step
        mask = inputs["completion_mask"].bool()
        finite = torch.where(mask, batch.entropies, 0.0)[:_ROWS].isfinite().all(1)
        rows = finite.nonzero().flatten().tolist()
        append_rows(self._path, [{"step": step, **self._describe(row, inputs, batch, output)} for row in rows])

    def _describe(self, row: int, inputs: dict[str, Any], batch: TokenBatch, output: ObjectiveOutput) -> dict[str, Any]:
        mask = inputs["completion_mask"][row].bool()
        low, high = output.band_low[row].item(), output.band_high[row].item()
        return {
            "prompt": self._tokenizer.decode(inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()].tolist()),
            "tokens": split_text(self._tokenizer, inputs["completion_ids"][row][mask].tolist()),
            "entropies": [round(value, 4) for value in batch.entropies[row][mask].tolist()],
            "forks": output.fork_mask[row][mask].nonzero().flatten().tolist(),
            "advantage": round(batch.advantages[row].item(), 4),
            "band": [round(low, 4), round(high, 4)] if high < float("inf") else None,
        }
