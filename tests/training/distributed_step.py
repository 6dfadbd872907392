"""One step in this process, or in one of several: writes the gradients that reach the optimiser, and what was logged.

Completions are a function of the prompt and the row, so that every number of processes has the same.
"""

import json
import os
import sys
import zlib
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from datasets import Dataset
from safetensors.torch import save_file
from transformers import Qwen2ForCausalLM, TrainerCallback

from models import build_qwen2
from spine_rl import SpineConfig, SpineTrainer

NUM_PROBLEMS, NUM_GENERATIONS = 3, 4


class CannedTrainer(SpineTrainer):
    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        if num_generations == 1:  # a wave of vote-only responses: every one of a problem's is the same
            return [canned(ids, 99) for ids in prompt_ids], None
        first = self.accelerator.process_index * len(prompt_ids)
        rows = [canned(ids, (first + row) % NUM_GENERATIONS) for row, ids in enumerate(prompt_ids)]
        return rows, None

    def _key(self, completion, answer_format, cut_off):
        return completion[-1]["content"][:1] or None


def canned(prompt_ids, member):
    generator = torch.Generator().manual_seed(zlib.crc32(bytes(prompt_ids)) + member)
    length = int(torch.randint(1, 14, (1,), generator=generator))
    first = 20 + int(torch.randint(0, 2, (1,), generator=generator))  # one of two answers
    rest = torch.randint(20, 100, (length,), generator=generator).tolist()
    return [first, *rest, 2]


class Spy(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        model = getattr(model, "module", model)
        self.gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def main(folder, preset, num_processes, accumulation):
    folder = Path(folder)
    rank = int(os.environ.get("RANK", "0"))
    _, tokenizer = build_qwen2()
    model = Qwen2ForCausalLM.from_pretrained(folder / "model")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.02)  # away from the reference model, or its gradient is zero
    rows = [
        {"prompt": [{"role": "user", "content": f"{i}+{i}" * (i + 1)}], "problem_id": f"p{i}"}
        for i in range(NUM_PROBLEMS)
    ]
    config = SpineConfig(
        output_dir=str(folder / f"out-{num_processes}-{accumulation}-{preset}"),
        preset=preset,
        beta=0.05,
        num_generations=NUM_GENERATIONS,
        num_votes=11 if preset == "spine-v2" else None,
        vote_wave_size=3,
        per_device_train_batch_size=NUM_PROBLEMS * NUM_GENERATIONS // num_processes // accumulation,
        gradient_accumulation_steps=accumulation,
        probe_problems=2,
        max_steps=1,
        max_completion_length=16,
        max_grad_norm=0.0,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
    )
    spy = Spy()
    trainer = CannedTrainer(model, config, Dataset.from_list(rows), tokenizer, callbacks=[spy])
    trainer.train()
    if rank == 0:
        name = f"{preset}-{num_processes}-{accumulation}"
        save_file(spy.gradients, folder / f"{name}.safetensors")
        logged = {n: v for n, v in trainer.state.log_history[0].items() if "/" in n and not n.startswith("seconds")}
        (folder / f"{name}.json").write_text(json.dumps(logged))
    if num_processes > 1:  # torch may abort a process that leaves with its group
        trainer.accelerator.wait_for_everyone()
        trainer.accelerator.end_training()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
