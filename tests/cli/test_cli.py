"""The commands as a user runs them: what they write, and the one line that a mistake gets."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from models import save_in_hub_cache, save_qwen2
from paths import DATA
from spine_rl.cli.arguments import read_arguments
from spine_rl.engine import precision, samplers
from spine_rl.errors import ModelError
from spine_rl.lab.families.arithmetic import generate_chains
from spine_rl.lab.tasks import ARITHMETIC, to_problem_set
from spine_rl.presets import CONTROLS, PRESETS
from spine_rl.training import run
from spine_rl.training.run import run_train

QUICK = [
    "--max_steps=2", "--num_generations=2", "--per_device_train_batch_size=4", "--max_completion_length=8",
    "--learning_rate=1e-3", "--use_cpu", "--gradient_checkpointing=false", "--report_to=none",
]  # fmt: skip


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return save_qwen2(tmp_path_factory.mktemp("models") / "qwen2")


@pytest.fixture
def problems_file(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"id": f"q{i}", "question": f"What is {i}+{i}?", "answer": str(2 * i)} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train(spine, model, data, out, *more):
    return spine("train", "--model", model, "--data", data, "--output_dir", out, *QUICK, *more)


# ---- what a run's file says of the model


@pytest.mark.parametrize("command", ["preflight", "inspect", "train"])
def test_every_command_loads_and_samples_as_the_runs_file_says(
    spine, monkeypatch, model_folder, problems_file, tmp_path, command
):
    config, seen = tmp_path / "run.yaml", {}
    lines = (
        f"model: {model_folder}", f"data: {problems_file}", "num_generations: 2", "per_device_train_batch_size: 4",
        "output_dir: run", "model_revision: v2", "trust_remote_code: on", "attn_implementation: eager", "top_p: 0.8",
        "model_init_kwargs: {variant: fp16}", "optim: sgd", "use_cpu: true",
    )  # fmt: skip
    config.write_text("\n".join(lines))

    def load(name, **options):
        seen.update(options)
        raise ModelError("seen")

    monkeypatch.setattr(run, "load_model_and_tokenizer", load)
    monkeypatch.setattr(samplers, "load_model_and_tokenizer", load)
    monkeypatch.chdir(tmp_path)
    assert spine(command, "--config", config)[::2] == (2, "spine: seen\n")
    assert (seen.pop("dtype") == "auto") is (command == "inspect")
    assert seen.pop("trains_adapter", False) is (command == "train")
    assert seen == {
        "revision": "v2", "trust_remote_code": True, "attn_implementation": "eager", "variant": "fp16",
    }  # fmt: skip
    status, _, error = spine("inspect", "--config", config, "--bnb-4bit-quant-type=fp4")
    assert (status, "would have no effect without load_in_4bit" in error) == (2, True)
    assert "unknown option 'optim'" in spine("inspect", "--config", config, "--optim=sgd")[2]


def test_eval_solve_and_transfer_load_as_they_are_told(spine, monkeypatch, model_folder, problems_file, tmp_path):
    """The base and the adapted model alike."""
    config, seen = tmp_path / "run.yaml", []
    told = ("model_revision: v2", "trust_remote_code: on", "attn_implementation: eager")
    loading = {"revision": "v2", "trust_remote_code": True, "attn_implementation": "eager"}

    def load(name, **options):
        seen.append({name: options[name] for name in loading})
        raise ModelError("seen")

    monkeypatch.setattr(samplers, "load_model_and_tokenizer", load)
    common = ("--model", model_folder, "--data", problems_file)
    assert spine("eval", *common)[2] == "spine: seen\n"
    config.write_text("\n".join(told))
    assert spine("eval", *common, "--config", config)[2] == "spine: seen\n"
    assert spine("eval", *common, "--model-revision=v2", "--trust_remote_code", "--attn-implementation=eager")[0] == 2
    assert seen == [{**dict.fromkeys(loading), "revision": "main", "trust_remote_code": False}, loading, loading]
    assert "unknown option 'learning_rate'" in spine("eval", *common, "--learning_rate=1")[2]
    assert "give learning_rate" not in spine("eval", *common, "--lr=1")[2]
    assert "give max_completion_length" in spine("eval", *common, "--max-new-tokens=1")[2]

    run_fields = ("num_generations: 2", "per_device_train_batch_size: 4", "use_cpu: true", "report_to: none")
    config.write_text("\n".join((*told, *run_fields)))
    out = tmp_path / "answers.jsonl"
    assert spine("solve", problems_file, "--model", model_folder, "--run", config, "--out", out)[2] == "spine: seen\n"
    assert seen[-1] == loading
    config.write_text("\n".join((*told, *run_fields, f"model: {model_folder}", f"data: {problems_file}")))
    plans = []

    def plan(arguments, eval_data, out, plan_evaluation, **_):
        plans.append(plan_evaluation(eval_data[0]))

    monkeypatch.setattr("spine_rl.training.transfer.run_transfer", plan)
    command = ("transfer", "--run", config, "--eval-data", problems_file, "--out", tmp_path / "out")
    assert spine(*command)[0] == 0
    assert loading.items() <= plans[0].loading.items()
    with config.open("a") as file:
        file.write("\nmodel_init_kwargs: {variant: fp16}\n")
    assert "engine='vllm' loads a model in its own way, without variant" in spine(*command, "--engine=vllm")[2]


def test_an_evaluation_keeps_the_revision_and_does_not_go_on_with_another(spine, monkeypatch, problems_file, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    save_in_hub_cache(tmp_path / "hub", "org/tiny", "main", "v2")
    common = ("--data", problems_file, "--num-generations=2", "--max-completion-length=8")
    rows = {}
    for revision in ("main", "v2"):
        out = tmp_path / revision
        status, printed, error = spine(
            "eval", "--model=org/tiny", f"--model-revision={revision}", *common, "--out", out
        )
        assert status == 0, error
        assert ("org/tiny, revision v2" in printed) == (revision == "v2")
        rows[revision] = (out / "samples.jsonl").read_text()
        settings = json.loads((out / "settings.json").read_text())
        assert settings["model"] == "org/tiny"
        assert settings.get("revision", "main") == revision
    assert rows["main"] != rows["v2"]
    report = tmp_path / "v2" / "evaluation.json"
    assert json.loads(report.read_text())["settings"]["revision"] == "v2"
    report.unlink()  # interrupted
    again = ("eval", "--model=org/tiny", *common, "--out", tmp_path / "v2")
    message = "an interrupted evaluation with another revision ('v2' before, not given now)"
    assert_one_line(*spine(*again)[::2], message)
    assert_one_line(*spine(*again, "--model-revision=v3")[::2], "another revision ('v2' before, 'v3' now)")
    assert spine(*again, "--model-revision=v2", "--baseline", tmp_path / "main", "--budget=0")[0] == 0
    assert json.loads(report.read_text())["baseline"]["model"] == "org/tiny"


@pytest.mark.parametrize("kwargs", [{"eos_token_id": 3}, {"stop_token_ids": [3]}])  # transformers' name, and vLLM's
def test_what_ends_a_response_in_a_run_ends_it_in_its_evaluation(spine, monkeypatch, problems_file, tmp_path, kwargs):
    run, seen = Path(save_qwen2(tmp_path / "run")), []
    resolved = {"run": dict.fromkeys(("system_prompt", "prompt_suffix", "max_image_pixels"))}
    resolved["training"] = {"max_completion_length": 8, "generation_kwargs": kwargs}
    (run / "spine_config.json").write_text(json.dumps({"resolved": resolved}))

    def evaluate(options):
        seen.append(options.decoding.more)
        raise ModelError("seen")

    monkeypatch.setattr("spine_rl.evaluation.compared.run_evaluation", evaluate)
    printed = spine("eval", "--model", run, "--data", problems_file)[1]
    assert "responses also end at the tokens [3], as in the run" in printed
    spine("eval", "--model", save_qwen2(tmp_path / "base"), "--baseline", run, "--data", problems_file)
    spine("eval", "--model", tmp_path / "base", "--data", problems_file)
    assert seen == [{"eos_token_id": [3]}, {"eos_token_id": [3]}, {}]


@pytest.mark.parametrize("command", ["preflight", "inspect"])
def test_a_round_is_drawn_and_read_as_the_run_draws_and_reads(
    spine, monkeypatch, model_folder, problems_file, tmp_path, command
):
    """A run that is planned, in its file, and one that made the model, in its folder; an option wins over both."""
    seen = []

    def draw(options, *_, **__):
        seen.append(options)
        raise ModelError("seen")

    monkeypatch.setattr(f"spine_rl.diagnose.{command}_run.draw", draw)
    monkeypatch.chdir(tmp_path)
    fields = {"temperature": 0.7, "top_p": 0.8, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.5}
    fields |= {"generation_kwargs": {"eos_token_id": [3]}, "answer_type": "number"}
    common = {"data": str(problems_file), "model": str(model_folder)}
    (tmp_path / "run.yaml").write_text(json.dumps({**common, **fields, "optim": "sgd"}))
    resolved = {"run": dict.fromkeys(("system_prompt", "prompt_suffix", "max_image_pixels"))}
    resolved["training"] = {**fields, "max_completion_length": 9, "use_vllm": False}
    shutil.copytree(model_folder, tmp_path / "made")
    (tmp_path / "made" / "spine_config.json").write_text(json.dumps({"resolved": resolved}))
    for given in (("--config", "run.yaml"), ("--model", "made", "--data", problems_file)):
        status, printed, error = spine(command, *given, "--top-k", 3, "--batch-size", 2)
        assert (status, error) == (2, "spine: seen\n")
        assert ("drawn as in the run made, where no option says otherwise: " in printed) == ("made" in given)
        decoding, more = seen[-1].decoding, {"min_p": 0.1, "repetition_penalty": 1.5, "eos_token_id": [3]}
        assert (decoding.temperature, decoding.top_p, decoding.batch_size) == (0.7, 0.8, 2)
        assert decoding.more == {"top_k": 3, **more}
        assert seen[-1].answer_type == "number"
    assert spine(command, "--model", model_folder, "--data", problems_file)[2] == "spine: seen\n"
    plain, ends = seen[-1], {"stop_token_ids": [3]}
    assert (plain.decoding.temperature, plain.decoding.top_p, plain.answer_type) == (1.0, 1.0, "auto")
    (tmp_path / "run.yaml").write_text(json.dumps({**common, "use_vllm": True, "generation_kwargs": ends}))
    assert spine(command, "--config", "run.yaml")[2] == "spine: seen\n"
    assert seen[-1].decoding.more["eos_token_id"] == [3]  # vLLM's name for it
    resolved["training"] |= {"use_vllm": True, "generation_kwargs": ends}  # the engine is the machine's, and not taken
    (tmp_path / "made" / "spine_config.json").write_text(json.dumps({"resolved": resolved}))
    for engine in ((), ("--use-vllm",)):
        assert spine(command, "--model", "made", "--data", problems_file, *engine)[2] == "spine: seen\n"
        assert seen[-1].decoding.more["eos_token_id"] == [3]


# ---- train


def test_train_writes_a_model_that_loads_and_everything_about_the_run(spine, model_folder, problems_file, tmp_path):
    out = tmp_path / "run"
    status, printed, _ = train(spine, model_folder, problems_file, out, "--gold_column=answer", "--preset=spine-v2")
    assert status == 0
    assert "adapt step 2/2" in printed
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template is not None
    start = load_file(Path(model_folder) / "model.safetensors")
    assert any(not torch.equal(p, start[n]) for n, p in model.named_parameters() if n in start)
    config = json.loads((out / "spine_config.json").read_text())
    assert config["given"]["preset"] == "spine-v2"
    assert config["resolved"]["training"]["fork_selector"] == "otsu"
    assert config["resolved"]["training"]["seed"] == 42
    assert config["versions"]["trl"].startswith("1.16")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "vote/majority_ratio" in row] == [1, 2]
    assert "vote/label_accuracy" in rows[0]
    card = (out / "README.md").read_text()
    assert "spine-v2" in card
    assert "Agreement among samples is not accuracy" in card


def test_train_from_yaml_with_the_command_line_winning(spine, model_folder, problems_file, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(
        f"model: {model_folder}\ndata: {problems_file}\noutput_dir: {tmp_path / 'run'}\npreset: ttrl\n"
        "learning_rate: 1e-4\nmax_steps: 5\nnum_generations: 2\nper_device_train_batch_size: 4\n"
        "max_completion_length: 8\nuse_cpu: true\nreport_to: none\nsystem_prompt: 'Be brief.'\nprompt_suffix: ' Go.'\n"
    )
    status, *_ = spine("train", "--config", config, "--max-steps", 1)
    assert status == 0
    resolved = json.loads((tmp_path / "run" / "spine_config.json").read_text())["resolved"]
    assert resolved["training"]["max_steps"] == 1
    assert resolved["training"]["learning_rate"] == 1e-4
    assert resolved["training"]["fork_selector"] == "all"
    assert resolved["run"]["system_prompt"] == "Be brief."


def test_train_with_lora_saves_an_adapter_that_eval_loads(spine, model_folder, problems_file, tmp_path):
    out = tmp_path / "run"
    lora = ("--use_peft", "--lora_r=2", "--lora_target_modules", "q_proj", "v_proj", "--beta=0.01")
    status, _, error = train(spine, model_folder, problems_file, out, *lora)
    assert status == 0, error
    assert (out / "adapter_model.safetensors").exists()
    status, *_ = spine(
        "eval", "--model", out, "--data", problems_file, "--num-generations=1", "--max-completion-length=4"
    )
    assert status == 0


@pytest.mark.parametrize("anchor", ["--beta=0", "--beta=0.01"])
def test_an_adapter_is_trained_on_and_found_from_any_folder(
    spine, model_folder, problems_file, tmp_path, monkeypatch, anchor
):
    (tmp_path / "base").symlink_to(model_folder)
    monkeypatch.chdir(tmp_path)
    assert train(spine, "base", problems_file, "first", "--use_peft", "--max_steps=1")[0] == 0
    status, _, error = train(spine, "first", problems_file, "second", anchor)
    assert status == 0, error
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert not all(torch.equal(first[name], second[name]) for name in first)
    assert "is an adapter already" in train(spine, "first", problems_file, "third", "--use_peft")[2]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    given = ("--data", problems_file, "--num-generations=1", "--max-completion-length=4")
    assert spine("eval", "--model", "../second", *given)[0] == 0
    Path("../base").unlink()
    error = spine("eval", "--model", "../second", *given)[2]
    assert f"the adapter is for {tmp_path / 'base'}, which is not here; mend" in error


def test_resume_goes_on_and_ends_like_an_unbroken_run(spine, model_folder, problems_file, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    steps = ("--max_steps=3", "--save_steps=1", "--lr_scheduler_type=constant")
    assert train(spine, model_folder, problems_file, whole, *steps)[0] == 0
    assert train(spine, model_folder, problems_file, broken, *steps, "--max_steps=2")[0] == 0
    with (broken / "metrics.jsonl").open("a") as file:  # written after the checkpoint, and cut off
        file.write(json.dumps({"step": 99}) + '\n{"step": 1')
    status, _, error = train(spine, model_folder, problems_file, broken, *steps, "--resume")
    assert status == 0, error
    steps_logged = [json.loads(line)["step"] for line in (broken / "metrics.jsonl").read_text().splitlines()]
    assert 3 in steps_logged
    assert 99 not in steps_logged
    status, _, error = train(spine, model_folder, problems_file, broken, *steps, "--resume", "--learning_rate=1")
    assert_one_line(status, error, "resuming with another learning_rate (0.001 before, 1.0 now)")
    for name, parameter in load_file(whole / "model.safetensors").items():
        torch.testing.assert_close(load_file(broken / "model.safetensors")[name], parameter)


@pytest.mark.slow
@pytest.mark.parametrize("faster", [False, True])
def test_a_resumed_run_keeps_the_precision_that_was_measured_at_its_start(
    spine, model_folder, problems_file, tmp_path, monkeypatch, faster
):
    def measure(says_faster):
        monkeypatch.setattr(precision, "_measure_gain", lambda *_: 2.0 if says_faster else 1.0)

    monkeypatch.setattr(precision, "SMALLEST_WIDTH", 1)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    steps = ("--max_steps=3", "--save_steps=1", "--lr_scheduler_type=constant")
    measure(faster)
    assert train(spine, model_folder, problems_file, whole, *steps)[0] == 0
    assert train(spine, model_folder, problems_file, broken, *steps, "--max_steps=1")[0] == 0
    measure(not faster)
    assert train(spine, model_folder, problems_file, broken, *steps, "--resume")[0] == 0
    resolved = json.loads((broken / "spine_config.json").read_text())["resolved"]["training"]
    assert (resolved["bf16"], resolved["generation_dtype"]) == (faster, "bfloat16" if faster else "model")
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_train_reads_other_formats(spine, model_folder, tmp_path, suffix):
    import pandas

    frame = pandas.DataFrame({"text": [f"What is {i}+{i}?" for i in range(4)]})
    path = tmp_path / f"problems.{suffix}"
    {
        "json": lambda: path.write_text(frame.to_json(orient="records")),
        "csv": lambda: frame.to_csv(path, index=False),
        "parquet": lambda: frame.to_parquet(path),
    }[suffix]()
    status, _, error = train(spine, model_folder, path, tmp_path / "run", "--prompt_column=text", "--max_steps=1")
    assert status == 0, error


def test_chat_messages_are_taken_as_they_are(spine, model_folder, tmp_path):
    path = tmp_path / "chats.jsonl"
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "1+1?"}]
    path.write_text("".join(json.dumps({"messages": chat}) + "\n" for _ in range(4)))
    status, _, error = train(spine, model_folder, path, tmp_path / "run", "--max_steps=1")
    assert status == 0, error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["amc", "math500"])
def test_benchmark_files_go_through_training_saving_and_evaluation(spine, model_folder, tmp_path, name):
    data = DATA / f"{name}.jsonl"
    if not data.exists():
        pytest.skip(f"{data} is not here")
    out = tmp_path / "run"
    status, _, error = train(
        spine, model_folder, data, out, "--gold_column=answer", "--prompt_suffix= Put the answer in \\boxed{}."
    )
    assert status == 0, error
    result = tmp_path / "eval.json"
    status, _, error = spine(
        "eval", "--model", out, "--data", data, "--num-generations=2", "--max-completion-length=4", "--json", result
    )
    assert status == 0, error
    metrics = json.loads(result.read_text())
    assert metrics["n_problems"] == {"amc": 83, "math500": 500}[name]
    assert {
        "greedy_pass@1",
        "mean@2",
        "pass@2",
        "maj@2",
        "response_length",
        "truncated",
        "unparseable",
    } <= metrics.keys()


# ---- eval


def test_eval_of_the_lab_model(spine, tmp_path):
    problem_set = to_problem_set("short", generate_chains("held_out", 16, num_operations=3))
    data, result = tmp_path / "chains.jsonl", tmp_path / "eval.json"
    rows = [{"id": p.id, "prompt": p.prompt, "answer": problem_set.gold_answers[p.id]} for p in problem_set.problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = (
        "eval",
        "--model",
        ARITHMETIC.base,
        "--data",
        data,
        "--num-generations=4",
        "--max-completion-length=120",
        "--json",
        result,
    )
    assert spine(*command, "--temperature=1.0", "--top-p=1.0")[0] == 0
    metrics = json.loads(result.read_text())
    assert metrics["n_problems"] == 16
    assert metrics["truncated"] == 0
    assert metrics["maj@4"] >= 0.5  # the base solves chains of 3 by vote
    low, high = metrics["intervals"]["maj@4"]
    assert low <= metrics["maj@4"] <= high
    assert {"pass@1", "pass@2", "pass@4"} <= metrics.keys()
    status, _, error = spine(*command)
    assert_one_line(status, error, "exists; give another name or --overwrite")


def evaluate(spine, model, data, *more):
    short = ("--num-generations=2", "--max-completion-length=6", "--batch-size=4")
    return spine("eval", "--model", model, "--data", data, *short, *more)


@pytest.fixture(scope="module")
def run_folder(model_folder, tmp_path_factory):
    """A model that 2 steps of 4 responses adapted to 6 problems: a budget of 8 / 6, rounded up."""
    folder = tmp_path_factory.mktemp("runs")
    data = folder / "problems.jsonl"
    data.write_text("".join(json.dumps({"question": f"What is {i}+{i}?"}) + "\n" for i in range(6)))
    run_train(read_arguments([f"--model={model_folder}", f"--data={data}", f"--output_dir={folder / 'run'}", *QUICK]))
    return folder / "run"


def test_eval_beside_a_baseline_with_the_adaptations_budget(spine, model_folder, run_folder, problems_file, tmp_path):
    config = json.loads((run_folder / "spine_config.json").read_text())
    assert config["sampling"] == {"responses": 8, "problems": 6}
    out = tmp_path / "out"
    status, printed, error = evaluate(spine, run_folder, problems_file, "--baseline", model_folder, "--out", out)
    assert status == 0, error
    assert "greedy_pass@1 against baseline maj@2: " in printed
    report = json.loads((out / "evaluation.json").read_text())
    assert report["budget"]["samples_per_problem"] == 2
    assert report["differences"]["greedy_pass@1"].keys() == {"difference", "interval", "p"}
    assert report["settings"]["comparison"] == {"baseline": model_folder, "budget": 2}
    assert len((out / "greedy.jsonl").read_text().splitlines()) == 6
    row = json.loads((out / "samples.jsonl").read_text().splitlines()[0])
    assert row.keys() == {"id", "sample", "completion", "num_tokens", "truncated", "entropy"}

    again = tmp_path / "again.json"
    assert spine("eval", "--from-samples", out, "--data", problems_file, "--json", again)[0] == 0
    assert again.read_bytes() == (out / "evaluation.json").read_bytes()
    earlier = ("--baseline", out / "baseline", "--out", tmp_path / "second", "--json", tmp_path / "second.json")
    assert evaluate(spine, run_folder, problems_file, *earlier)[0] == 0
    assert json.loads((tmp_path / "second.json").read_text())["differences"] == report["differences"]

    status, _, error = evaluate(spine, run_folder, problems_file, "--out", out)
    assert_one_line(status, error, "already holds an evaluation; give another --out, or --overwrite")
    status, _, error = evaluate(spine, run_folder, problems_file, "--baseline", out / "baseline", "--budget=5")
    assert_one_line(status, error, "the baseline has 2 samples a problem, 5 are needed")
    status, _, error = evaluate(spine, run_folder, problems_file, "--baseline", out / "baseline", "--temperature=1")
    assert_one_line(status, error, "the baseline was evaluated with another decoding.temperature (0.6, the model 1.0)")
    assert evaluate(spine, run_folder, problems_file, "--out", out, "--overwrite")[0] == 0
    assert not (out / "baseline").exists()


def test_eval_asks_as_the_run_did(spine, model_folder, run_folder, problems_file, tmp_path):
    def asked(*more):
        short = ("--num-generations=1", "--batch-size=6", "--overwrite", "--out", tmp_path / "out")
        status, printed, error = spine("eval", "--model", folder, "--data", problems_file, *short, *more)
        assert status == 0, error
        settings = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").rglob("settings.json"))]
        return printed, [(each["prompt"], each["decoding"]["max_new_tokens"]) for each in settings]

    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    config = json.loads((folder / "spine_config.json").read_text())
    config["resolved"]["run"] |= {"prompt_suffix": " Go.", "system_prompt": "Be brief."}
    (folder / "spine_config.json").write_text(json.dumps(config))
    printed, settings = asked("--baseline", model_folder)
    assert settings == [({"system_prompt": "Be brief.", "prompt_suffix": " Go."}, 8)] * 2
    assert f"asked as in the run {folder}, where no option says otherwise: system_prompt 'Be brief.'" in printed
    printed, settings = asked("--prompt-suffix=", "--system-prompt=", "--max-completion-length=4")
    assert settings == [({"system_prompt": None, "prompt_suffix": ""}, 4)]
    assert "asked as in the run" not in printed
    page = tmp_path / "page.html"
    status, printed, error = spine(
        "inspect", "--model", folder, "--data", problems_file, "--num-generations=2", "--out", page
    )
    assert status == 0, error
    assert "system_prompt 'Be brief.', prompt_suffix ' Go.', max_completion_length 8" in printed


def test_eval_that_was_killed_goes_on_to_the_same_files(spine, tmp_path):
    problem_set = ARITHMETIC.make_problems("held_out", 24)
    data = tmp_path / "chains.jsonl"
    rows = [{"id": p.id, "prompt": p.prompt, "answer": problem_set.gold_answers[p.id]} for p in problem_set.problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        "eval",
        "--model",
        ARITHMETIC.base,
        "--data",
        data,
        "--num-generations=4",
        "--max-completion-length=120",
        "--batch-size=16",
    ]
    assert spine(*command, "--out", tmp_path / "whole")[0] == 0
    broken = tmp_path / "broken"
    process = subprocess.Popen([sys.executable, "-m", "spine_rl.cli.main", *map(str, command), "--out", str(broken)])
    samples, deadline = broken / "samples.jsonl", time.monotonic() + 120
    while not (samples.exists() and samples.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 0 < len(samples.read_bytes().splitlines()) < 24 * 4
    status, _, error = spine(*command, "--out", broken, "--seed=1")
    assert_one_line(status, error, "holds an interrupted evaluation with another decoding.seed (0 before, 1 now)")
    assert spine(*command, "--out", broken)[0] == 0
    for name in ("greedy.jsonl", "samples.jsonl", "evaluation.json"):
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_eval_by_continuous_batching(spine, model_folder, problems_file, tmp_path):
    result = tmp_path / "eval.json"
    status, _, error = evaluate(spine, model_folder, problems_file, "--engine=continuous", "--json", result)
    assert status == 0, error
    assert json.loads(result.read_text())["settings"]["engine"] == "continuous"


def test_mistakes_in_eval(spine, model_folder, problems_file, tmp_path):
    unlabelled = tmp_path / "unlabelled.jsonl"
    unlabelled.write_text(
        '{"id": "a", "question": "1+1?", "answer": "2"}\n{"id": "b", "question": "?", "answer": ""}\n'
    )
    cases = [
        (
            (model_folder, problems_file, "--answer-type=maths"),
            "answer_type='maths': must be one of auto, math, number, choice, yes_no, text; did you mean 'math'?",
        ),
        (
            (model_folder, problems_file, "--engine=vlm"),
            "engine='vlm': must be one of transformers, continuous, vllm; did you mean 'vllm'?",
        ),
        ((model_folder, problems_file, "--budget=4"), "give a --baseline model too"),
        ((model_folder, problems_file, "--from-samples", tmp_path), "give either --model"),
        ((model_folder, problems_file, "--out", tmp_path), "is not an empty folder and holds no evaluation of ours"),
        ((model_folder, unlabelled), "problem 'b' has no gold answer; evaluation needs one for every problem"),
    ]
    for arguments, message in cases:
        status, _, error = evaluate(spine, *arguments)
        assert_one_line(status, error, message)
    status, _, error = spine("eval", "--from-samples", tmp_path / "nothing", "--data", problems_file)
    assert_one_line(status, error, "no evaluation, settings.json cannot be read")


# ---- transfer


def test_transfer_trains_once_and_writes_one_table(spine, model_folder, problems_file, tmp_path):
    config, out = tmp_path / "run.yaml", tmp_path / "out"
    config.write_text(
        f"model: {model_folder}\ndata: {problems_file}\npreset: spine\nlearning_rate: 1e-3\nmax_steps: 2\n"
        "num_generations: 2\nper_device_train_batch_size: 4\nmax_completion_length: 6\nuse_cpu: true\nreport_to: none\n"
        "gradient_checkpointing: false\nprompt_suffix: ' Go.'\n"
    )
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"prompt": f"{i}*2?", "answer": str(2 * i)}) + "\n" for i in range(3)))
    command = ("transfer", "--run", config, "--eval-data", problems_file, "--eval-data", other, "--out", out)
    status, _, error = spine(*command, "--num-generations=2")
    assert status == 0, error
    summary = json.loads((out / "transfer.json").read_text())
    assert summary["results"].keys() == {"problems", "other"}
    assert summary["samples_per_problem"] == 2
    assert summary["results"]["other"]["n_problems"] == 3
    assert summary["results"]["other"]["differences"]["greedy_pass@1"].keys() == {"difference", "interval", "p"}
    table = (out / "transfer.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in table[4:]] == ["| problems", "| other", "| average"]
    settings = json.loads((out / "other" / "settings.json").read_text())
    assert settings["prompt"]["prompt_suffix"] == " Go."
    assert settings["decoding"]["max_new_tokens"] == 6

    weights = (out / "adapted" / "model.safetensors").stat().st_mtime_ns
    assert spine(*command, "--num-generations=2")[0] == 0  # goes on: everything is there
    assert (out / "adapted" / "model.safetensors").stat().st_mtime_ns == weights
    assert json.loads((out / "transfer.json").read_text()) == summary
    status, _, error = spine(*command, "--num-generations=3")
    assert_one_line(status, error, "another num_samples (2 before, 3 now)")
    config.write_text(config.read_text() + "seed: 1\n")
    status, _, error = spine(*command, "--num-generations=2")
    assert_one_line(status, error, "is a run of another configuration; give another --out, or --overwrite")
    status, _, error = spine(*command, "--eval-data", tmp_path / "deeper" / "other.csv")
    assert_one_line(status, error, "the name 'other' is taken; rename the file")


# ---- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset=spin"], "; did you mean 'spine'?"),
        (["--learning_rat=1"], "unknown option 'learning_rat'; did you mean 'learning_rate'?"),
        (["--learning_rate=fast"], "learning_rate='fast': must be a number"),
        (["--num_generations=1"], "num_generations=1: must be at least 2"),
        (["--per_device_train_batch_size=3"], "must be a multiple of num_generations=2"),
        (["--prompt_column=text"], "no column 'text' (prompt_column); it has id, question, answer"),
        (
            ["--gold_column=gold"],
            "no column 'gold' (gold_column); it has id, question, answer; name one with gold_column",
        ),
        (["--max_completion_length=5000"], "is over the model's context of 2048; lower the maximum response length to"),
        (["--loss_type=grpo"], "loss_type='grpo' would have no effect"),
        (["--overwrite", "--resume"], "overwrite and resume contradict each other"),
        (["--resume"], "no run to resume, it has no spine_config.json; start a run without resume"),
        (["--preset=oracle"], "allow_gold_rewards=False: label_rule='gold' trains on labels"),
        (["--preset=oracle", "--allow_gold_rewards"], "label_rule='gold' needs a gold answer for every problem"),
        (["--config=missing.yaml"], "missing.yaml: cannot be read"),
        (["--limit=1"], "the data has 1 problems, but a step takes 2"),
        (["--split=test"], "a file has no splits"),
        (["--data=no/such-set"], "no/such-set: neither a file here nor a hub data set that can be loaded"),
        (["--report_to=wandb"], "wandb"),
        (["--use_vllm"], "vLLM"),
    ],
)
def test_mistakes_in_train(spine, model_folder, problems_file, tmp_path, arguments, message):
    status, _, error = train(spine, model_folder, problems_file, tmp_path / "run", *arguments)
    assert_one_line(status, error, message)
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows"),
        ('{"question": "a"}\n{"question": \n', "line 2: not valid JSON"),
        ('{"question": "a"}\n{"question": "  "}\n', "line 2: empty prompt in column 'question'"),
        ('{"text": "a"}\n', "none of the columns prompt, problem, question, messages; it has text"),
        ('{"question": 5}\n', "line 1: column 'question' must be text or a list of chat messages"),
        ('["a"]\n', "line 1: expected an object with columns, got a list; give one a row"),
        ('{"id": 1, "question": "a"}\n{"id": 1, "question": "b"}\n', "line 2: id '1' is also that of"),
        (
            f"{json.dumps({'question': '1' * 3000})}\n{json.dumps({'question': '2'})}\n",
            "its prompt has 3003 tokens, the model's context is 2048",
        ),
    ],
)
def test_mistakes_in_data(spine, model_folder, tmp_path, content, message):
    path = tmp_path / "problems.jsonl"
    path.write_text(content)
    status, _, error = train(spine, model_folder, path, tmp_path / "run")
    assert_one_line(status, error, message)
    assert not (tmp_path / "run").exists()


def test_transfer_reads_what_it_will_evaluate_on_before_it_trains(spine, model_folder, problems_file, tmp_path):
    config, other = tmp_path / "run.yaml", tmp_path / "other.jsonl"
    config.write_text(f"model: {model_folder}\ndata: {problems_file}\nuse_cpu: true\nreport_to: none\n")
    other.write_text(json.dumps({"prompt": "1*2?"}) + "\n")
    command = ("transfer", "--run", config, "--eval-data", problems_file, "--out", tmp_path / "out", "--eval-data")
    for data, message in ((other, "no column 'answer'"), (tmp_path / "none.jsonl", "no such file")):
        status, _, error = spine(*command, data)
        assert_one_line(status, error, message)
    assert not (tmp_path / "out").exists()


def test_missing_files_and_models(spine, model_folder, problems_file, tmp_path):
    status, _, error = train(spine, model_folder, tmp_path / "no.jsonl", tmp_path / "run")
    assert_one_line(status, error, "no.jsonl: no such file; check the path")
    status, _, error = train(spine, tmp_path, problems_file, tmp_path / "run")
    assert_one_line(status, error, "no model folder, it has no config.json")
    status, _, error = train(spine, "no/such-model", problems_file, tmp_path / "run")
    assert_one_line(status, error, "no/such-model: neither a folder here nor a model of the hub")
    status, _, error = spine("train", "--data", problems_file)
    assert_one_line(status, error, "model is missing; give --model")
    status, _, error = spine("eval", "--model", model_folder, "--data", problems_file, "--gold-column=gold")
    assert_one_line(status, error, "no column 'gold'")


def test_an_earlier_run_is_never_touched_unasked(spine, model_folder, problems_file, tmp_path):
    out = tmp_path / "run"
    assert train(spine, model_folder, problems_file, out, "--max_steps=1")[0] == 0
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    status, _, error = train(spine, model_folder, problems_file, out)
    assert_one_line(status, error, "already holds a run; give another output_dir, or --overwrite or --resume")
    assert before == {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert train(spine, model_folder, problems_file, out, "--max_steps=1", "--overwrite")[0] == 0

    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    for flag in ([], ["--overwrite"]):
        status, _, error = train(spine, model_folder, problems_file, foreign, *flag)
        assert_one_line(status, error, "is not an empty folder and holds no run of ours")
    assert (foreign / "thesis.tex").read_text() == "years of work"
    status, _, error = spine("demo", "--out", foreign)
    assert_one_line(status, error, "is not an empty folder")


def assert_one_line(status, error, message):
    assert status == 2
    lines = [line for line in error.splitlines() if line.startswith("spine: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in error


def test_what_the_system_refuses_gets_one_line(spine, tmp_path, monkeypatch):
    row = tmp_path / "c.jsonl"
    row.write_text('{"id": "a", "prompt": "1?", "answer": "1", "completion": "so 1"}\n')
    status, _, error = spine("data", "export", row, tmp_path, "--overwrite")
    assert_one_line(status, error, f"spine: {tmp_path} is a folder; give the name of a file")
    status, _, error = spine("data", "show", row, "--html", row / "page.html")
    assert_one_line(status, error, "c.jsonl")
    if Path("/dev/full").exists():
        status, _, error = spine("vote", row, "--out", "/dev/full", "--overwrite")
        assert_one_line(status, error, "spine: /dev/full: No space left on device")

    def fail(*arguments, **options):
        raise OSError("a library's\n  own words")

    monkeypatch.setattr("spine_rl.evaluation.polls.count_votes", fail)
    status, _, error = spine("vote", row)
    assert_one_line(status, error, "spine: a library's own words")


def test_help_names_every_group(spine):
    status, printed, _ = spine("train", "--help")
    assert status == 0
    for name in ("preset", "fork-selector", "band-low-coef", "gold-column", "lora-r", "learning-rate"):
        assert name in printed


def test_methods_are_listed_with_a_line_and_a_source_each(spine):
    status, printed, _ = spine("methods")
    assert status == 0
    _, *rows = printed.splitlines()
    assert [row.split()[0] for row in rows] == [*PRESETS, *CONTROLS]
    (scrl,) = [row for row in rows if row.startswith("scrl ")]
    assert re.split(r"\s{2,}", scrl) == [
        "scrl", "scrl", "all", "none", "clear majorities are rewarded, rare uncertain answers punished",
        "arXiv 2603.19880",
    ]  # fmt: skip


def test_command_is_installed():
    command = Path(sys.executable).parent / "spine"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"


@pytest.mark.slow
def test_train_on_two_processes(model_folder, problems_file, tmp_path):
    out = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = ["train", "--model", model_folder, "--data", problems_file, "--output_dir", out, *QUICK]

    def train():
        return subprocess.run(
            [*launcher, "-m", "spine_rl.cli.main", *map(str, arguments)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    done = train()
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "vote/majority_ratio" in row] == [1, 2]
    assert (out / "model.safetensors").exists()
    refused = train()  # by one process, for all of them
    assert refused.returncode == 1
    said = [line for line in refused.stderr.splitlines() if line.startswith("spine: ")]
    assert said == [f"spine: {out} already holds a run; give another output_dir, or --overwrite or --resume"]
