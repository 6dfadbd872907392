"""Preflight: what it measures on the lab's model, and advice that follows from the figures."""

import json
from dataclasses import replace

import pytest

from spine_rl.diagnose.fork_rule import ForkRule
from spine_rl.diagnose.preflight import StepPlan, advise, estimate_time, measure_signal
from spine_rl.diagnose.rollouts import draw_rollouts
from spine_rl.engine.estimate import MemoryEstimate, MemoryParts
from spine_rl.engine.progress import listening
from spine_rl.engine.samplers import Decoding, TransformersSampler
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.problems import PromptStyle

GOOD = {
    "majority_ratio": 0.5, "unanimous": 0.1, "abstained": 0.0, "zero_advantage": 0.1, "truncated": 0.0,
    "length_p90": 400.0, "fork_entropy": 0.6,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"truncated": 0.4, "abstained": 0.4}, ["raise --max_completion_length"]),
        ({"abstained": 0.9}, ["--prompt_suffix"]),
        ({"unanimous": 0.7, "zero_advantage": 0.7}, ["harder problems"]),
        ({"zero_advantage": 0.7}, ["rewards alike"]),
        ({"majority_ratio": 0.15}, ["--num_votes"]),
        ({"chance_agreement": 0.5, "kappa": 0.04}, ["hardly depend on the problem"]),
        ({"chance_agreement": 0.5, "kappa": 0.4}, []),
        ({"chance_agreement": 0.01, "kappa": 0.04}, []),  # each problem has answers of its own
        ({"length_p90": 50.0}, ["saves memory"]),
        ({"fork_entropy": 0.01}, ["hardly branches"]),
    ],
)
def test_advice_follows_from_the_figures(change, words):
    advice = advise(GOOD | change, StepPlan(), ["What is 2+2?"])
    assert len(advice) == len(words)
    assert all(word in line for word, line in zip(words, advice, strict=True))


def test_advice_on_what_cannot_run():
    (line,) = advise(GOOD, StepPlan(num_steps=0))
    assert "fewer problems than a step takes" in line
    parts = MemoryParts(2 << 30, 0, 0, 0, 0, 0, 0, 0, 0)
    (line,) = advise(GOOD, StepPlan(), memory=MemoryEstimate(parts, parts, 1 << 30))
    assert "needs 2.0 GiB at least, and may have 1.0" in line
    assert advise(GOOD, StepPlan(), memory=MemoryEstimate(parts, parts, 3 << 30)) == []
    assert advise(GOOD, StepPlan(), memory=MemoryEstimate(parts, parts)) == []


@pytest.fixture(scope="module")
def rollouts():
    engine = TransformersSampler(*ARITHMETIC.load_base())
    problems = ARITHMETIC.make_problems("adapt", 4).problems
    decoding = Decoding(max_new_tokens=110, temperature=1.0)
    return draw_rollouts(engine, problems, PromptStyle(), decoding, 4)


def test_measured_on_the_labs_model(rollouts):
    signal = measure_signal(rollouts, ForkRule())
    assert 0.2 <= signal["fork_share"] < 0.23  # ⌈0.2·T⌉ of T
    assert signal["fork_entropy"] > 3 * signal["entropy"]
    assert signal["zero_advantage"] >= signal["unanimous"]
    assert measure_signal(rollouts, ForkRule("all"))["fork_entropy"] == pytest.approx(signal["entropy"])


def test_scoring_is_told(rollouts):
    told = []
    engine = TransformersSampler(*ARITHMETIC.load_base())
    problems = rollouts.problems[:1]
    with listening(lambda *each: told.append(each)):
        draw_rollouts(engine, problems, PromptStyle(), Decoding(max_new_tokens=4), 2)
    assert [each for each in told if each[0] == "score"] == [("score", done, 2, "responses") for done in range(3)]


def test_time_is_shared_and_split_over_steps(rollouts):
    sampled, trained = rollouts.generate_seconds / 16, 3 * rollouts.forward_seconds / 16  # of 16 responses

    def estimate(**plan):
        return estimate_time(rollouts, StepPlan(responses_sampled=64, responses_trained=32, **plan))

    assert estimate()["seconds_per_step"] == pytest.approx(64 * sampled + 32 * trained)
    assert estimate(steps_per_rollout=8)["seconds_per_step"] == pytest.approx(8 * sampled + 32 * trained)
    assert estimate(num_processes=4)["seconds_per_step"] == pytest.approx(16 * sampled + 8 * trained)
    timed = estimate(num_steps=1800)
    assert timed["hours"] == pytest.approx(timed["seconds_per_step"] / 2)
    assert "hours" not in estimate()


def test_an_update_runs_a_prompt_once_though_the_scoring_did_not(rollouts):
    prompts = [len(prompt) for prompt in rollouts.prompts]
    responses = sum(len(response.token_ids) for response in rollouts.all_responses)
    once = (sum(prompts) + responses) / (4 * sum(prompts) + responses)  # of 4 responses a prompt
    assert replace(rollouts, shares_prompts=False).update_share == pytest.approx(once)
    assert rollouts.update_share == 1


def test_the_command(spine, tmp_path):
    data, out = tmp_path / "p.jsonl", tmp_path / "out.json"
    rows = [{"id": problem.id, "prompt": problem.prompt} for problem in ARITHMETIC.make_problems("adapt", 2).problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = ("preflight", "--model", ARITHMETIC.base, "--data", data, "--num-generations", 2)
    common += ("--per-device-train-batch-size", 4)
    status, printed, _ = spine(*common, "--max-completion-length", 8, "--json", out)
    assert status == 0
    assert "raise --max_completion_length" in printed
    cells = [line.strip("│ ").split("│") for line in printed.splitlines()]
    shown = {cell[0].strip(): cell[1].strip() for cell in cells if len(cell) == 2}
    assert (shown["responses a step"], shown["steps"]) == ("4", "3")
    assert shown["time of the run (estimate)"].startswith("0:")
    figures = json.loads(out.read_text())
    assert figures["signal"]["truncated"] == 1.0
    assert figures["cost"]["hours"] == pytest.approx(figures["cost"]["seconds_per_step"] * 3 / 3600)  # epochs of a step
    full = figures["cost"]["memory_gib"]
    assert full["gradients"] == full["weights"]
    run = tmp_path / "run.yaml"  # of a run: an adapter, and a step of the same two problems
    run.write_text("use_peft: true\nlora_r: 4\nmax_completion_length: 8\n")
    assert spine(*common, "--config", run, "--json", out, "--overwrite")[0] == 0
    adapted = json.loads(out.read_text())["cost"]["memory_gib"]
    assert adapted["gradients"]["most"] < full["gradients"]["most"] / 10
    few = spine(*common, "--config", run, "--gradient-accumulation-steps", 2, "--max-steps", 9)[1]
    assert "fewer problems than a step takes" in few  # as training would refuse it, whatever max_steps says
    assert "time of the run" not in few
    assert spine(*common, "--preset", "nonsense")[0] == 2
    status, _, error = spine(*common, "--sharding", "some")
    assert status == 2
    assert "none, optimizer, gradients, weights" in error
