"""Memory, descriptors and threads over a long run, for each engine and tracker: what grows with the steps is a leak.

    python benchmarks/long_run.py                                # 500 steps of each case, some minutes each on one core
    python benchmarks/long_run.py --steps 50 --cases plain wandb
    build/vllm-env/bin/python benchmarks/long_run.py --cases vllm                     # `make test-vllm` makes it
    PYTHONPATH=build/deepspeed python benchmarks/long_run.py --cases fsdp2 zero2 zero3    # `make test-sharded` makes it

A case is a run of its own: the lab's arithmetic model, steps of 2 problems with 4 responses of 8 tokens, a checkpoint
every 50 steps. `vllm` samples with vLLM in the same process; `fsdp2`, `zero2` and `zero3` are two processes on the CPU,
of which the first is looked at. Every tenth of the run a line says what the process and its children hold (`plain step
500: 612.4 MiB, 31 descriptors, 9 threads`); the last one says what has grown since the first tenth, in which caches
fill. Trackers keep what they are given in a folder that is thrown away: wandb offline, trackio without a dashboard.
"""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

TRACKERS = ("trackio", "wandb")
SHARDED = {"fsdp2": "accelerate", "zero2": "deepspeed", "zero3": "deepspeed"}
NEEDS = {"plain": "torch", **{name: name for name in TRACKERS}, "vllm": "vllm", **SHARDED}
LAUNCH = Path(__file__).resolve().parents[1] / "tests/sharded"  # runs on a CPU what accelerate keeps for GPUs
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "DS_ACCELERATOR": "cpu",
    "SPINE_TEST_SECONDS": "7200",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "TRACKIO_SHOW_DASHBOARD": "false",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--cases", nargs="+", choices=NEEDS, default=list(NEEDS))
    parser.add_argument("--run", metavar="CASE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        return run(options.run, options.steps)
    for case in options.cases:
        if find_spec(NEEDS[case]) is None:
            print(f"{case}: {NEEDS[case]} is not installed, left out")
            continue
        command = [*make_launcher(case), str(Path(__file__).resolve()), "--run", case, "--steps", str(options.steps)]
        with tempfile.TemporaryDirectory() as folder:
            places = {"WANDB_DIR": folder, "TRACKIO_DIR": folder, "TMPDIR": folder}
            subprocess.run(command, cwd=folder, env=os.environ | _OFFLINE | places, check=True)
    return None


def make_launcher(case: str) -> list[str]:
    """What the script is run by: this Python, or accelerate's two processes."""
    if case not in SHARDED:
        return [sys.executable]
    config = ["--main_process_port", "0", "--config_file", str(LAUNCH / f"{case}.yaml")]
    return [sys.executable, "-m", "accelerate.commands.launch", *config, str(LAUNCH / "on_cpu.py")]


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
        per_device_train_batch_size=8 // int(os.environ.get("WORLD_SIZE", "1")),
        max_completion_length=8,
        learning_rate=1e-5,
        report_to=case if case in TRACKERS else "none",
        use_vllm=case == "vllm",
        vllm_gpu_memory_utilization=0.1,  # of a tiny model; on a CPU, of the machine's memory
        save_steps=50,
        use_cpu=case not in SHARDED,
        bf16=False,
        disable_tqdm=True,
    )
    dataset = build_dataset(problems, tokenizer, context=None, max_new_tokens=8)
    trainer = SpineTrainer(model, config, dataset, tokenizer)
    if trainer.is_world_process_zero():
        trainer.add_callback(make_gauge(case, max(1, steps // 10)))
    trainer.train()


def make_gauge(case: str, every: int):
    """A callback that prints what the process and its children hold, and at the end what has grown."""
    import psutil
    from transformers import TrainerCallback

    class Gauge(TrainerCallback):
        def __init__(self):
            self.rows = []

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % every:
                return
            gc.collect()
            me = psutil.Process()
            counts = [(each.memory_info().rss, each.num_fds(), each.num_threads()) for each in [me, *me.children(True)]]
            held = tuple(map(sum, zip(*counts, strict=True)))
            self.rows.append((state.global_step, *held))
            mib, descriptors, threads = held[0] / 2**20, *held[1:]
            print(
                f"{case} step {state.global_step}: {mib:.1f} MiB, {descriptors} descriptors, {threads} threads",
                flush=True,
            )

        def on_train_end(self, args, state, control, **kwargs):
            (first, *before), (last, *after) = self.rows[0], self.rows[-1]
            size, descriptors, threads = (now - then for then, now in zip(before, after, strict=True))
            a_step = size / 2**10 / max(1, last - first)
            print(f"{case}: {a_step:.1f} KiB a step, {descriptors} descriptors, {threads} threads more", flush=True)

    return Gauge()


if __name__ == "__main__":
    main()
