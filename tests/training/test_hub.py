"""--push_to_hub against a stand-in of the hub's HTTP: what arrives is the model, its card and how it was made."""

import json
import os
import subprocess
import sys

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from hub_stand_in import TOKEN, serving
from models import save_qwen2


def push(hub, folder, *more, token=TOKEN):
    """A run of two steps that pushes; in a process of its own, as the hub's address is read when it begins."""
    model = folder / "model"
    if not model.exists():
        save_qwen2(model)
        rows = [{"id": f"q{i}", "prompt": f"What is {i}+{i}?"} for i in range(4)]
        (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "model": model, "data": folder / "problems.jsonl", "output_dir": folder / "run", "max_steps": 2,
        "num_generations": 2, "per_device_train_batch_size": 4, "max_completion_length": 4, "report_to": "none",
        "save_steps": 1, "hub_model_id": "someone/adapted", "hub_token": token,
    }  # fmt: skip
    command = [sys.executable, "-m", "spine_rl.cli.main", "train", "--push_to_hub", "--use_cpu"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = os.environ | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(folder / "home")}
    return subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_a_run_is_pushed_with_its_card(tmp_path):
    with serving(tmp_path / "hub") as hub:
        done = push(hub, tmp_path)
    assert done.returncode == 0, done.stderr
    repository, message, names = hub.commits[-1]
    assert (repository, message) == ("someone/adapted", "Adapted model, step 2")
    assert {"README.md", "model.safetensors", "config.json", "tokenizer.json", "metrics.jsonl"} <= set(names)
    assert "spine_config.json" in names
    pushed = tmp_path / "hub" / "someone" / "adapted"
    arrived = {path.relative_to(pushed).as_posix() for path in pushed.rglob("*") if path.is_file()}
    assert not [
        name for name in arrived if name.startswith((".", "checkpoint", "last")) or name.endswith((".bin", ".pt"))
    ]
    card = (pushed / "README.md").read_text()
    assert card == (tmp_path / "run" / "README.md").read_text()
    assert "Adapted without labels on `problems.jsonl`" in card
    assert card.startswith("---\nlibrary_name: transformers\n")
    adapted, kept = (AutoModelForCausalLM.from_pretrained(folder) for folder in (pushed, tmp_path / "run"))
    assert all(one.equal(other) for one, other in zip(adapted.parameters(), kept.parameters(), strict=True))
    AutoTokenizer.from_pretrained(pushed)
    secret = [path for path in (tmp_path / "run").rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert secret == []


@pytest.mark.slow
def test_checkpoints_are_pushed_on_the_way(tmp_path):
    with serving(tmp_path / "hub") as hub:
        done = push(hub, tmp_path, "--hub_strategy=checkpoint", "--hub_always_push")
    assert done.returncode == 0, done.stderr
    assert "Training in progress, step 1" in {message for _, message, _ in hub.commits}
    files = [names for _, message, names in hub.commits if message == "Training in progress, step 1"]
    (model,) = [names for names in files if "model.safetensors" in names]
    assert not [name for name in model if name.startswith(("spine", "best", "optimizer", "trainer_state"))]
    (checkpoint,) = [names for names in files if "last-checkpoint/trainer_state.json" in names]
    assert "last-checkpoint/optimizer.pt" in checkpoint


@pytest.mark.slow
def test_a_push_that_fails_is_one_line_and_the_run_is_whole(tmp_path):
    with serving(tmp_path / "hub") as hub:
        hub.refused.append("/commit/")
        done = push(hub, tmp_path, "--hub_strategy=end")
        assert done.returncode == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("spine: ")]
        assert "someone/adapted: cannot be pushed to" in line
        assert f"hf upload someone/adapted {tmp_path / 'run'}" in line
        content = json.loads((tmp_path / "run" / "spine_config.json").read_text())
        assert content["finished"]["steps"] == 2
        refused = push(hub, tmp_path, "--overwrite", token="hf_wrong")
        assert refused.returncode == 2
        assert "give a token by HF_TOKEN" in refused.stderr
