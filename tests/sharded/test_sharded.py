"""`accelerate launch` with FSDP2 and DeepSpeed on two CPU processes: what one process does; `make test-sharded`.

Of all cases `make test` has one, and those of DeepSpeed are left out where it is not installed.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from models import save_qwen2
from spine_rl.lab.tasks import ARITHMETIC

HERE = Path(__file__).parent
STEPS = 5  # the best weights are those after two
SECONDS = 400  # that a process may take
needs_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="no deepspeed; make test-sharded")
needs_time = pytest.mark.skipif("SPINE_TEST_SHARDED" not in os.environ, reason="long; make test-sharded")
WAYS = ["fsdp2", pytest.param("zero2", marks=needs_deepspeed), pytest.param("zero3", marks=needs_deepspeed)]
pytestmark = pytest.mark.slow


def run_steps(way, model, out, *options):
    """What was logged."""
    launch(way, HERE / "steps.py", str(model), str(out), *options)
    return json.loads((out / "logged.json").read_text())


def launch(way, script, *options):
    """Runs a script in two processes, that share the model in a way of accelerate's, or in one."""
    launcher = ["-m", "accelerate.commands.launch", "--main_process_port", "0", "--config_file", f"{HERE / way}.yaml"]
    process = subprocess.Popen(
        [sys.executable, *(launcher if way != "one" else []), str(HERE / "on_cpu.py"), str(script), *options],
        env=os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "SPINE_TEST_SECONDS": str(SECONDS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=SECONDS + 60)  # what hangs has said in which line, and ended
    finally:
        process.terminate()  # a launcher ends its processes
    assert process.returncode == 0, said[-6000:]


def check_same_run(out, logged, expected_out, expected, steps):
    check_same_weights(out, expected_out)
    assert logged["kept"] == expected["kept"]
    rows, others = ({row["step"]: row for row in each["rows"] if "loss" in row} for each in (expected, logged))
    for step in range(1, steps + 1):
        for name, value in rows[step].items():
            if not name.startswith(("seconds", "memory", "step_time", "tokens_per_second")):  # the machine's
                assert others[step][name] == pytest.approx(value, rel=1e-4, abs=1e-6), (step, name)


def check_same_weights(out, expected_out):
    found, expected = load_weights(out), load_weights(expected_out)
    assert expected.keys() <= found.keys()
    assert found.keys() - expected.keys() <= {"lm_head.weight"}  # tied, and written twice
    for name, weight in expected.items():
        assert (found[name] - weight).norm() <= 1e-4 * weight.norm(), name


def load_weights(folder):
    (path,) = (folder / name for name in ("model.safetensors", "adapter_model.safetensors") if (folder / name).exists())
    return load_file(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_qwen2(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def run_alone(model, tmp_path_factory):
    """In one process, once for the same options."""
    runs = {}

    def run(*options):
        if options not in runs:
            out = tmp_path_factory.mktemp("one")
            runs[options] = out, run_steps("one", model, out, *options)
        return runs[options]

    return run


@pytest.mark.parametrize("way", WAYS)
def test_two_steps_are_those_of_one_process(way, model, run_alone, tmp_path):
    expected_out, expected = run_alone("--steps", "2")
    check_same_run(tmp_path, run_steps(way, model, tmp_path, "--steps", "2"), expected_out, expected, steps=2)
    assert any((load_weights(tmp_path)[n] != w).any() for n, w in load_file(Path(model) / "model.safetensors").items())
    AutoModelForCausalLM.from_pretrained(tmp_path)


@needs_time
@pytest.mark.parametrize("way", WAYS)
def test_adapters(way, model, run_alone, tmp_path):
    expected_out, expected = run_alone("--steps", "2", "--lora")
    logged = run_steps(way, model, tmp_path, "--steps", "2", "--lora")
    check_same_run(tmp_path, logged, expected_out, expected, steps=2)
    AutoPeftModelForCausalLM.from_pretrained(tmp_path)


@needs_time
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("adapter", [(), ("--lora",)], ids=["full", "lora"])
def test_best_weights_are_kept_and_a_resumed_run_ends_alike(way, adapter, model, run_alone, tmp_path):
    options = ("--steps", str(STEPS), "--keep_best", "label-free", *adapter)
    expected_out, expected = run_alone(*options)
    assert expected["kept"] == 2
    out, resumed = tmp_path / "out", tmp_path / "resumed"
    check_same_run(out, run_steps(way, model, out, *options), expected_out, expected, STEPS)
    check_same_weights(out / "last", expected_out / "last")
    shutil.copytree(out / "checkpoint-3", resumed / "checkpoint-3")
    logged = run_steps(way, model, resumed, *options, "--resume")
    check_same_run(resumed, logged, expected_out, expected, STEPS)
    check_same_weights(resumed / "last", expected_out / "last")


@needs_time
@pytest.mark.parametrize("way", WAYS)
def test_command(way, tmp_path):
    """With responses that the sharded model draws."""
    data, out = tmp_path / "data.jsonl", tmp_path / "out"
    rows = [{"id": each.id, "prompt": each.prompt} for each in ARITHMETIC.make_problems("adapt", 4).problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--max_steps", "2", "--save_steps", "1", "--num_generations", "4", "--per_device_train_batch_size", "8"]
    options += ["--max_completion_length", "24", "--bf16", "false", "--output_dir", str(out), "--data", str(data)]
    options += ["--probe_problems", "2", "--probe_steps", "1"]
    launch(way, Path(sys.executable).parent / "spine", "train", "--model", str(ARITHMETIC.base), *options)
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["probe/responses"]) for row in steps if "vote/responses" in row] == [(1, 8), (2, 8)]
    assert (out / "checkpoint-2" / "spine_manifest.json").is_file()
    AutoModelForCausalLM.from_pretrained(out)
