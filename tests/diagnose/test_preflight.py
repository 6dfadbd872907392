"""Preflight: what it measures on the lab's model, and advice that follows from the figures."""

import json

import pytest

from spine_rl.diagnose.fork_rule import ForkRule
from spine_rl.diagnose.preflight import StepPlan, advise, estimate_cost, measure_signal
from spine_rl.diagnose.rollouts import draw_rollouts
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
        ({"length_p90": 50.0}, ["saves memory"]),
        ({"fork_entropy": 0.01}, ["hardly branches"]),
    ],
)
def test_advice_follows_from_the_figures(change, words):
    advice = advise(GOOD | change, StepPlan(), ["What is 2+2?"])
    assert len(advice) == len(words)
    assert all(word in line for word, line in zip(words, advice, strict=True))


@pytest.fixture(scope="module")
def rollouts():
    engine = TransformersSampler(*ARITHMETIC.load_base())
    problems = ARITHMETIC.make_problems("adapt", 4).problems
    decoding = Decoding(max_new_tokens=110, temperature=1.0)
    return engine, draw_rollouts(engine, problems, PromptStyle(), decoding, 4)


def test_measured_on_the_labs_model(rollouts):
    engine, drawn = rollouts
    signal = measure_signal(drawn, ForkRule())
    assert 0.2 <= signal["fork_share"] < 0.23  # ⌈0.2·T⌉ of T
    assert signal["fork_entropy"] > 3 * signal["entropy"]
    assert signal["zero_advantage"] >= signal["unanimous"]
    assert measure_signal(drawn, ForkRule("all"))["fork_entropy"] == pytest.approx(signal["entropy"])
    small, large = (estimate_cost(drawn, engine.model, StepPlan(problems_per_step=n)) for n in (4, 8))
    assert large["seconds_per_step"] == pytest.approx(2 * small["seconds_per_step"])
    assert large["memory_gib"] == small["memory_gib"]  # the micro-batch decides


def test_the_command(spine, tmp_path):
    data, out = tmp_path / "p.jsonl", tmp_path / "out.json"
    rows = [{"id": problem.id, "prompt": problem.prompt} for problem in ARITHMETIC.make_problems("adapt", 2).problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = ("preflight", "--model", ARITHMETIC.base, "--data", data, "--num-generations", 2)
    status, printed, _ = spine(*common, "--max-completion-length", 8, "--json", out)
    assert status == 0
    assert "raise --max_completion_length" in printed
    assert json.loads(out.read_text())["signal"]["truncated"] == 1.0
    assert spine(*common, "--preset", "nonsense")[0] == 2
