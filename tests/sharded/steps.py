"""Steps with given responses, in this process or in one of several: leaves the model, and what was logged.

Responses are a function of the prompt, the row and the step, so that every number of processes has the same. Those of
the third step agree most: the weights after two steps are the best.
"""

import argparse
import json
import os
import sys
import zlib
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

from spine_rl import SpineConfig, SpineTrainer
from spine_rl.training.recorded_run import save_whole

NUM_PROBLEMS, NUM_GENERATIONS = 4, 4


class CannedTrainer(SpineTrainer):
    """Whose responses are given."""

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        first = self.accelerator.process_index * len(prompt_ids)
        step = self.state.global_step
        rows = [canned(ids, (first + row) % NUM_GENERATIONS, step) for row, ids in enumerate(prompt_ids)]
        return rows, None

    def _key(self, completion, answer_format, cut_off):
        return completion[-1]["content"][:1] or None


def canned(prompt_ids, member, step):
    generator = torch.Generator().manual_seed(zlib.crc32(bytes(prompt_ids)) + member + 1000 * step)
    length = int(torch.randint(1, 14, (1,), generator=generator))
    first = 21 if member == 0 and step != 2 else 20  # one of two answers
    rest = torch.randint(20, 100, (length,), generator=generator).tolist()
    return [first, *rest, 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--keep_best", default="none")
    parser.add_argument("--on_collapse", default="warn")
    parser.add_argument("--resume", action="store_true", help="from the checkpoint in the folder")
    given = parser.parse_args()
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    rows = [
        {"prompt": [{"role": "user", "content": f"{i}+{i}" * (i + 1)}], "problem_id": f"p{i}"}
        for i in range(NUM_PROBLEMS)
    ]
    config = SpineConfig(
        output_dir=str(given.out),
        preset="spine",
        beta=0.05,
        num_generations=NUM_GENERATIONS,
        per_device_train_batch_size=NUM_PROBLEMS * NUM_GENERATIONS // num_processes // 2,
        gradient_accumulation_steps=2,
        max_steps=given.steps,
        save_steps=3,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        adam_epsilon=1e-4,  # with the usual one, a gradient that is all rounding makes a whole step
        max_completion_length=16,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        keep_best=given.keep_best,
        on_collapse=given.on_collapse,
        seed=0,
    )
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM") if given.lora else None
    torch.manual_seed(0)  # of the adapter's first weights
    trainer = CannedTrainer(model, config, Dataset.from_list(rows), tokenizer, peft_config=lora)
    trainer.train(resume_from_checkpoint=str(given.out / "checkpoint-3") if given.resume else None)
    save_whole(trainer, given.out)
    if trainer.is_world_process_zero():
        kept = trainer.guard.kept.step
        (given.out / "logged.json").write_text(json.dumps({"rows": trainer.state.log_history, "kept": kept}))
    if num_processes > 1:
        trainer.accelerator.end_training()


if __name__ == "__main__":
    main()
