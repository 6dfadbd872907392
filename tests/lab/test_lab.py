"""The test bed: its problems, its tokenizer, the base model's quality, and that adaptation moves it."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_rl.answers import response_key
from spine_rl.engine.samplers import Decoding, TransformersSampler
from spine_rl.errors import ConfigError, ModelError, RunFolderError
from spine_rl.evaluation.evaluate import evaluate
from spine_rl.evaluation.sampling import draw_responses
from spine_rl.lab.adapt import adapt_lab
from spine_rl.lab.demo import DemoSettings, run_demo
from spine_rl.lab.families.arithmetic import Chain, generate_chains, write_solution
from spine_rl.lab.families.family import detect_style
from spine_rl.lab.make_base import check_quality, measure_quality, train_base
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.lab.teach import Recipe
from spine_rl.lab.tokenizer import build_tokenizer
from spine_rl.problems import encode_prompts
from spine_rl.training.finite_steps import FiniteSteps


@pytest.fixture(scope="module")
def base():
    return ARITHMETIC.load_base()


def test_chains_are_worked_from_left_to_right():
    chain = Chain(12, (("+", 5), ("*", 3), ("-", 7)))
    assert chain.expression == "12+5*3-7"
    assert chain.answer == "44"
    careful = write_solution(chain, "careful", random.Random(0))
    assert careful == r"Step by step: 12+5=17; 17*3=51; 51-7=44; \boxed{44}"


def test_splits_never_overlap_and_seeds_repeat():
    splits = {
        split: {
            chain.expression for seed in range(3) for chain in generate_chains(split, 200, num_operations=2, seed=seed)
        }
        for split in ("train", "adapt", "held_out")
    }
    assert all(len(expressions) > 400 for expressions in splits.values())
    assert not splits["train"] & splits["adapt"]
    assert not splits["train"] & splits["held_out"]
    assert not splits["adapt"] & splits["held_out"]
    assert generate_chains("adapt", 5, num_operations=3, seed=1) == generate_chains(
        "adapt", 5, num_operations=3, seed=1
    )


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 50))
def test_solutions_are_read_by_the_extractor(seed, num_operations, max_operand):
    chain = generate_chains("adapt", 1, num_operations=num_operations, max_operand=max_operand, seed=seed)[0]
    rng = random.Random(seed)
    careful, hasty = write_solution(chain, "careful", rng), write_solution(chain, "hasty", rng)
    assert response_key(careful) == chain.answer
    assert response_key(hasty) is not None
    assert (detect_style(careful), detect_style(hasty), detect_style("?")) == ("careful", "hasty", None)
    assert len(hasty) < len(careful) or num_operations == 1


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_tokenizer_gives_text_back(text):
    tokenizer = build_tokenizer()
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_base_files_are_small_and_safe():
    assert sum(path.stat().st_size for path in ARITHMETIC.base.iterdir()) <= 4_000_000
    assert {path.suffix for path in ARITHMETIC.base.iterdir()} == {".json", ".safetensors", ".jinja"}


def test_base_has_the_quality_that_its_maker_asserts(base):
    quality = measure_quality(ARITHMETIC, *base)
    check_quality(quality)
    recorded = json.loads((ARITHMETIC.base / "quality.json").read_text())["adaptation_problems"]
    assert quality["greedy_pass@1"] == pytest.approx(recorded["greedy_pass@1"], abs=0.05)
    with pytest.raises(ValueError, match="maj@8"):
        check_quality(quality | {"maj@8": quality["greedy_pass@1"] + 0.1})


def test_maker_learns(capsys):
    train_base(Recipe(steps=3))
    assert "step     2" in capsys.readouterr().out


def test_sampling_is_seeded_and_does_not_depend_on_batches(base):
    model, tokenizer = base
    prompts = encode_prompts(
        tokenizer, [[{"role": "user", "content": p.prompt}] for p in ARITHMETIC.make_problems("adapt", 6).problems]
    )
    engine = TransformersSampler(model, tokenizer)
    first, again, other = (draw_responses(engine, prompts, Decoding(60, seed=seed), 2) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    greedy = [draw_responses(engine, prompts, Decoding(60, temperature=0, batch_size=size)) for size in (1, 6)]
    assert greedy[0] == greedy[1]


@pytest.mark.filterwarnings("ignore:step")
def test_a_run_that_ends_early_says_so(monkeypatch):
    monkeypatch.setattr(FiniteSteps, "_agree", lambda self, tensors: False)
    few = {"num_generations": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    problems = ARITHMETIC.make_problems("adapt", 1)
    with pytest.raises(ModelError, match="training ended early: 3 steps in a row were not taken"):
        adapt_lab(ARITHMETIC, "spine", problems, steps=4, seed=0, evaluate_every=9, **few)


def test_evaluation_counts_truncated_and_unreadable_responses(base):
    problem_set = ARITHMETIC.make_problems("adapt", 4)
    metrics = evaluate(*base, problem_set.problems, problem_set.gold_answers, Decoding(5), num_samples=2).metrics
    assert metrics["truncated"] == metrics["unparseable"] == 1.0
    assert metrics["response_length"] == 5
    assert metrics["greedy_pass@1"] == metrics["mean@2"] == metrics["maj@2"] == metrics["majority_ratio"] == 0


def test_demo_writes_its_summary_and_refuses_to_write_twice(tmp_path, capsys):
    settings = DemoSettings(
        ARITHMETIC, tmp_path / "demo", seed=1, steps=1, methods=("ttrl", "spine"), learning_rate=1e-4
    )
    run_demo(settings)
    summary = json.loads((settings.out / "summary.json").read_text())
    assert summary["task"] == "arithmetic"
    assert summary["seed"] == 1
    states = ["greedy_pass@1", "mean@8", "maj@8", "response_length", "majority_ratio", "entropy"]
    states += [f"response_length_p{percentile}" for percentile in (10, 50, 90)]
    assert summary["methods"].keys() == {"ttrl", "spine"}
    for outcome in summary["methods"].values():
        assert outcome["seconds"] > 0
        assert set(outcome["before"]) == set(outcome["after"]) == set(outcome["kept"]) == {"step", *states}
        assert (outcome["before"]["step"], outcome["after"]["step"]) == (0, 1)
        assert outcome["kept"]["step"] in (0, 1)
        assert "alarm" in outcome["verdict"]
    assert summary["methods"]["ttrl"]["before"] == summary["methods"]["spine"]["before"]
    assert (settings.out / "curves.png").stat().st_size > 10_000
    assert (settings.out / "lengths.png").stat().st_size > 5_000
    printed = capsys.readouterr().out
    assert all(f"{method}: the collapse monitor" in printed for method in ("ttrl", "spine"))
    with pytest.raises(RunFolderError, match="already holds a demo"):
        run_demo(settings)
    with pytest.raises(ConfigError, match="did you mean 'spine'"):
        run_demo(DemoSettings(ARITHMETIC, tmp_path / "other", 0, 1, ("spin",), 1e-4))


@pytest.mark.slow
def test_spine_raises_the_lab_models_accuracy():
    problems = ARITHMETIC.make_problems("adapt", 32)
    run = adapt_lab(
        ARITHMETIC,
        "spine",
        problems,
        learning_rate=3e-4,
        steps=12,
        seed=0,
        evaluate_every=12,
    )
    before, after = (row["adapt"]["greedy_pass@1"] for row in (run.curve[0], run.curve[-1]))
    assert after >= before + 0.15
