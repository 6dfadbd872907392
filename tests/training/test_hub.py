"""--push_to_hub against a stand-in of the hub's HTTP: what arrives is the model, its card and how it was made."""

import json
from types import SimpleNamespace

import pytest
import transformers.utils.hub
from huggingface_hub import HfApi, constants
from transformers import AutoModelForCausalLM, AutoTokenizer

from hub_stand_in import TOKEN, serving
from models import save_qwen2
from spine_rl.errors import HubError
from spine_rl.training.hub import _naming
from spine_rl.training.run import _name_data


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The stand-in, in the place of huggingface.co."""
    with serving(tmp_path / "hub") as hub:
        values = {"ENDPOINT": hub.url, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}
        for name, value in (values | {"HF_HUB_DISABLE_TELEMETRY": True}).items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(transformers.utils.hub, "_hf_api", HfApi(endpoint=hub.url))
        yield hub


@pytest.fixture
def push(spine, tmp_path):
    """Makes a run of two steps that is pushed: exit status and what was said."""
    model, data = tmp_path / "model", tmp_path / "problems.jsonl"
    save_qwen2(model)
    rows = [{"id": f"q{i}", "prompt": f"What is {i}+{i}?"} for i in range(4)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "model": model, "data": data, "output_dir": tmp_path / "run", "max_steps": 2, "num_generations": 2,
        "per_device_train_batch_size": 4, "max_completion_length": 4, "report_to": "none", "save_steps": 1,
        "hub_model_id": "someone/adapted",
    }  # fmt: skip
    fixed = ["train", "--push_to_hub", "--use_cpu", *(f"--{name}={value}" for name, value in options.items())]

    def push(*more, token=TOKEN):
        status, _, error = spine(*fixed, f"--hub_token={token}", *more)
        return status, error

    return push


@pytest.mark.slow
def test_a_run_is_pushed_with_its_card(hub, push, tmp_path):
    status, error = push()
    assert status == 0, error
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
def test_checkpoints_are_pushed_on_the_way(hub, push):
    status, error = push("--hub_strategy=checkpoint", "--hub_always_push")
    assert status == 0, error
    assert "Training in progress, step 1" in {message for _, message, _ in hub.commits}
    files = [names for _, message, names in hub.commits if message == "Training in progress, step 1"]
    (model,) = [names for names in files if "model.safetensors" in names]
    assert not [name for name in model if name.startswith(("spine", "best", "optimizer", "trainer_state"))]
    (checkpoint,) = [names for names in files if "last-checkpoint/trainer_state.json" in names]
    assert "last-checkpoint/optimizer.pt" in checkpoint


@pytest.mark.slow
def test_a_push_that_fails_is_one_line_and_the_run_is_whole(hub, push, tmp_path):
    hub.refused.append("/commit/")
    status, error = push("--hub_strategy=end")
    assert status == 2
    (line,) = [line for line in error.splitlines() if line.startswith("spine: ")]
    assert "someone/adapted: cannot be pushed to" in line
    assert f"hf upload someone/adapted {tmp_path / 'run'}" in line
    content = json.loads((tmp_path / "run" / "spine_config.json").read_text())
    assert content["finished"]["steps"] == 2


def test_a_wrong_token_is_said_before_the_first_step(hub, push, tmp_path):
    status, error = push(token="hf_wrong")
    assert status == 2
    assert "give a token by HF_TOKEN" in error
    assert not (tmp_path / "run").exists()


def test_a_hub_that_is_not_reached_is_one_line(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    told = r"someone/adapted: cannot be pushed to \(.+\); the run is whole"
    with pytest.raises(HubError, match=told), _naming("someone/adapted", "the run is whole"):
        HfApi(endpoint="http://127.0.0.1:9").create_repo("someone/adapted", token=TOKEN)


def test_a_card_names_the_data_and_not_where_it_lies(tmp_path):
    file = tmp_path / "seed=1" / "problems.jsonl"
    file.parent.mkdir()
    file.touch()
    for data, name in ((str(file), "problems.jsonl"), (f"math500={file}", "math500"), ("org/name", "org/name")):
        assert _name_data(SimpleNamespace(run=SimpleNamespace(data=data))) == name
