"""Memory, descriptors and threads over a long run, plain and with a tracker: what grows with the steps is a leak.

    python benchmarks/long_run.py                                # 500 steps of each case, some minutes each on one core
    python benchmarks/long_run.py --steps 50 --cases plain wandb

A case is a process of its own: the lab's arithmetic model, steps of 2 problems with 4 responses of 8 tokens, a
checkpoint every 50 steps. Every tenth of the run a line says what the process holds (`plain step 500: 612.4 MiB, 31
descriptors, 9 threads`); the last one what has grown since the first tenth, in which caches fill. Trackers keep what
they are given in a folder that is thrown away: wandb offline, trackio without a dashboard.
"""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

CASES = ("plain", "trackio", "wandb")
_OFFLINE = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_SHOW_DASHBOARD": "false"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--run", metavar="CASE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        return run(options.run, options.steps)
    for case in options.cases:
        if case != "plain" and find_spec(case) is None:
            print(f"{case}: not installed, left out")
            continue
        command = [sys.executable, __file__, "--run", case, "--steps", str(options.steps)]
        with tempfile.TemporaryDirectory() as folder:
            places = {"WANDB_DIR": folder, "TRACKIO_DIR": folder, "TMPDIR": folder}
            subprocess.run(command, cwd=folder, env=os.environ | _OFFLINE | places, check=True)
    return None


def run(case: str, steps: int) -> None:
    """One case, in this process."""
    from spine_rl.lab.tasks import ARITHMETIC
    from spine_rl.training import SpineConfig, SpineTrainer
    from spine_rl.training.problem_dataset import build_dataset

    model, tokenizer = ARITHMETIC.load_base()
    problems = ARITHMETIC.make_problems("adapt", 16).problems
    config = SpineConfig(
        output_dir=str(Path("run")),
        max_steps=steps,
        num_generations=4,
        per_device_train_batch_size=8,
        max_completion_length=8,
        learning_rate=1e-5,
        report_to="none" if case == "plain" else case,
        save_steps=50,
        use_cpu=True,
        disable_tqdm=True,
    )
    dataset = build_dataset(problems, tokenizer, context=None, max_new_tokens=8)
    trainer = SpineTrainer(model, config, dataset, tokenizer)
    trainer.add_callback(make_gauge(case, max(1, steps // 10)))
    trainer.train()


def make_gauge(case: str, every: int):
    """A callback that prints what the process holds, and at the end what has grown."""
    import psutil
    from transformers import TrainerCallback

    class Gauge(TrainerCallback):
        def __init__(self):
            self.process, self.rows = psutil.Process(), []

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % every:
                return
            gc.collect()
            held = self.process.memory_info().rss / 2**20, self.process.num_fds(), self.process.num_threads()
            self.rows.append((state.global_step, *held))
            print(
                f"{case} step {state.global_step}: {held[0]:.1f} MiB, {held[1]} descriptors, {held[2]} threads",
                flush=True,
            )

        def on_train_end(self, args, state, control, **kwargs):
            (first, *before), (last, *after) = self.rows[0], self.rows[-1]
            mib, descriptors, threads = (now - then for then, now in zip(before, after, strict=True))
            a_step = 1024 * mib / max(1, last - first)
            print(f"{case}: {a_step:.1f} KiB a step, {descriptors} descriptors, {threads} threads more", flush=True)

    return Gauge()


if __name__ == "__main__":
    main()
