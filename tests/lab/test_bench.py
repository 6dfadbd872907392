"""The benchmark's own arithmetic, and that both of its sides compute the same loss."""

import json
from functools import partial

import pytest
import torch

from spine_rl.errors import RunFolderError
from spine_rl.lab.bench import cases
from spine_rl.lab.bench.cases import Outcome, compare_decoding, compare_update
from spine_rl.lab.bench.command import run_command
from spine_rl.lab.bench.cpu import plan_cpu_cases
from spine_rl.lab.bench.floor import count_update_flops
from spine_rl.lab.bench.gpu import plan_gpu_cases
from spine_rl.lab.bench.growth import Point, fit_exponent, plot_growth, summarize_growth
from spine_rl.lab.bench.measure import alternate
from spine_rl.lab.bench.memory import measure_peak
from spine_rl.lab.bench.run import FULL, QUICK, list_decoding_options, run_bench
from spine_rl.lab.bench.shapes import SIZES, BatchShape, ModelShape, build_batch, build_model
from spine_rl.lab.bench.sides import build_trainer, majority_vote, run_update

TINY = ModelShape(hidden=64, layers=2, vocabulary=128)
BATCH = BatchShape(prompts=2, group_size=4, prompt_length=12, response_length=6, equal_lengths=False)


def test_sides_take_turns():
    calls = []

    def side(name, seconds):
        return lambda: calls.append(name) or seconds

    timings = alternate({"a": side("a", 4.0), "b": side("b", 2.0)}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert timings.ratios("a", "b") == [2.0, 2.0]
    assert timings.median("a") == 4.0


@pytest.mark.parametrize("image_tokens", [0, 4])
def test_both_trainers_compute_the_same_gradients(tmp_path, image_tokens):
    """TRL's loss and plain TTRL: what is timed side by side is the same work."""
    shape = ModelShape(hidden=64, layers=2, vocabulary=128, image_tokens=image_tokens)
    found = {}
    for side in ("trl", "ttrl"):
        trainer = build_trainer(
            side, build_model(shape), str(tmp_path / side), per_device_train_batch_size=8, num_generations=4
        )
        loss = run_update(trainer, build_batch(shape, BATCH))
        gradients = [p.grad.clone() for p in trainer.model.parameters() if p.grad is not None]
        found[side] = loss, gradients
    assert found["ttrl"][0] == pytest.approx(found["trl"][0], rel=1e-5)
    scale = max(gradient.norm() for gradient in found["trl"][1])
    for ours, theirs in zip(found["ttrl"][1], found["trl"][1], strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm() + 1e-7 * scale


def test_sharing_images_leaves_the_gradients_as_they_are(tmp_path):
    """With a frozen tower, as a run has it: each picture once a problem, or once a response."""
    shape = ModelShape(hidden=64, layers=2, vocabulary=128, image_tokens=4)
    found, seen = {}, {}
    for side in ("unshared", "spine"):
        trainer = build_trainer(
            side,
            build_model(shape),
            str(tmp_path / side),
            per_device_train_batch_size=8,
            num_generations=4,
            freeze_vision=True,
        )
        trainer.sharing._checked.add(id(trainer.model))  # the comparison of both paths is not what is counted
        pictures = seen.setdefault(side, [])

        def count(_module, args, kwargs, pictures=pictures):
            pictures.append(len(args[0] if args else kwargs["pixel_values"]))

        trainer.model.get_encoder(modality="image").register_forward_pre_hook(count, with_kwargs=True)
        loss = run_update(trainer, build_batch(shape, BATCH))
        found[side] = loss, {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
    assert (sum(seen["unshared"]), sum(seen["spine"])) == (8, 2)
    assert found["spine"][0] == pytest.approx(found["unshared"][0], rel=1e-5)
    plain, shared = found["unshared"][1], found["spine"][1]
    assert plain.keys() == shared.keys()
    assert not any("vision_tower" in name for name in plain)
    scale = max(gradient.norm() for gradient in plain.values())
    for name, expected in plain.items():
        assert (shared[name] - expected).norm() <= 1e-5 * expected.norm() + 1e-7 * scale, name


def test_a_case_has_a_ratio_a_round():
    outcome = compare_update("update", TINY, BATCH, goal=None, rounds=2, sides=("trl", "spine"))
    assert len(outcome.ratios) == 2
    assert outcome.ratio > 0
    assert outcome.met is None


def test_decoding_is_timed_without_its_prompts():
    outcome = compare_decoding(
        TINY, goal=None, rounds=1, warmups=0, new_tokens=12, prompts=2, group_size=2, prompt_length=9
    )
    assert outcome.name == "decoding, 2 x 2, 9 to 21 tokens in the cache"
    assert outcome.before > 0
    assert outcome.after > 0


def test_decoding_has_a_goal_with_real_sizes_alone():
    quick, full = (list_decoding_options(SIZES["7m"], effort) for effort in (QUICK, FULL))
    assert quick["goal"] is full["goal"] is None
    assert quick["new_tokens"] < full["new_tokens"]
    assert list_decoding_options(SIZES["qwen2.5-0.5b"], FULL)["goal"] >= 3


def test_goals_are_lower_or_upper_bounds():
    assert Outcome("speed", [1.0, 3.0, 2.0], 1.9, 1, 1).met
    assert not Outcome("speed", [1.0, 3.0, 2.0], 2.1, 1, 1).met
    assert Outcome("memory", [0.5], 0.6, 1, 1, at_most=True).met
    assert not Outcome("memory", [0.7], 0.6, 1, 1, at_most=True).met


@pytest.mark.slow
def test_peak_memory_grows_with_the_batch():
    small, large = (BatchShape(prompts=2, prompt_length=n, response_length=50) for n in (50, 800))
    assert measure_peak("trl", TINY, large) > 2 * measure_peak("trl", TINY, small) > 0


def test_flops_of_a_model_counted_by_hand():
    model = ModelShape(hidden=64, layers=1, vocabulary=100, intermediate=10)
    batch = BatchShape(prompts=1, group_size=2, prompt_length=3, response_length=5)
    block = 64 * 64 * 2 + 64 * 64 * 2 + 3 * 64 * 10  # query and output, key and value (one head), feed-forward
    tokens = 3 + 2 * 5
    contexts = 3 * 3 / 2 + 2 * 5 * (3 + 5 / 2)
    expected = 6 * block * tokens + 3 * 4 * 64 * contexts + 10 * 2 * 64 * 100 * 1.4
    assert count_update_flops(model, batch) == pytest.approx(expected)


def test_growth_is_fitted_and_drawn(tmp_path):
    assert fit_exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    points = [
        Point("G", g, 1000, {"trl": 2.0 * g, "spine": 1.0 * g**0.5}, {"trl": 4.0 * g, "spine": 2.0 * g}, 0.1)
        for g in (2, 4, 8, 16)
    ]
    (row,) = summarize_growth(points)
    assert row["seconds_exponent_spine"] == pytest.approx(0.5)
    assert row["mebibytes_ratios"] == [2.0] * 4
    plot_growth(points, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 1000


def test_the_peer_votes_by_problem():
    completions = [r"\boxed{1}", r"\boxed{1}", r"\boxed{2}", "no answer", r"\boxed{2}"]
    assert majority_vote(problem_id=["a", "a", "a", "a", "b"], completions=completions) == [1.0, 1.0, 0.0, 0.0, 1.0]


def test_an_earlier_result_is_kept(tmp_path, spine):
    (tmp_path / "bench.json").write_text(json.dumps({}))
    status, _, error = spine("bench", "--out", tmp_path)
    assert status == 2
    assert "bench.json already exists; give another --out, or --overwrite" in error
    status, _, error = spine("bench", "--out", tmp_path, "--overwrite")
    assert (status, "bench.json exists and is not figures of spine bench" in error) == (2, True)
    status, _, error = spine("bench", "--size", "huge", "--out", tmp_path / "new")
    assert status == 2
    assert "7m" in error


@pytest.mark.parametrize(
    ("options", "prompts", "num_cases"),
    [({}, 2, 11), ({"quick": True}, 1, 11), ({"size": "qwen2.5-0.5b", "prompts": 4}, 4, 12)],
)
def test_every_case_is_printed_and_recorded(tmp_path, monkeypatch, capsys, options, prompts, num_cases):
    asked = []

    def pretend(name):
        return lambda *given, **options: asked.append((name, given, options)) or Outcome(name, [2.0], 1.5, 4.0, 2.0)

    names = ("update", "steps", "memory", "generation", "decoding", "overhead", "whole_step")
    for name in (*(f"compare_{name}" for name in names), "check_step_memory"):
        monkeypatch.setattr(cases, name, pretend(name))
    outcomes = run_bench(tmp_path, **options)
    record = json.loads((tmp_path / "bench.json").read_text())
    assert [outcome["name"] for outcome in record["outcomes"]] == [outcome.name for outcome in outcomes]
    assert len(outcomes) == num_cases  # the lab's whole steps come with the lab's size
    assert record["quick"] == options.get("quick", False)
    batches = [part for _, given, _ in asked for part in given if isinstance(part, BatchShape)]
    assert {batch.prompts for batch in batches} == {prompts} | ({1, 8} if "size" in options else set())
    assert capsys.readouterr().out.count("2.00") >= 2 * num_cases  # as it ends, and in the table
    with pytest.raises(RunFolderError, match="or --overwrite"):
        run_bench(tmp_path, **options)
    monkeypatch.setattr("spine_rl.lab.bench.run.measure_matmul_rate", lambda: 1e9)
    run_bench(tmp_path, **options, overwrite=True)


def test_one_case_of_a_machines_rows_runs_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SIZES, "tiny", TINY)
    for name in ("compare_decoding", "compare_steps", "compare_whole_step", "check_step_memory", "compare_update"):
        pretend = partial(lambda name, *given, **options: Outcome(name, [2.0], 1.5, 4.0, 2.0), name)
        monkeypatch.setattr(cases, name, pretend)

    def run(*options):
        with pytest.raises(SystemExit) as ended:
            run_command("bench.cpu", (), ["tiny", *map(str, options)], plan_cpu_cases)
        return ended.value.code

    def read(folder):
        return [each["name"] for each in json.loads((folder / "bench.json").read_text())["outcomes"]]

    assert not run(tmp_path / "one", "--only", "decoding")
    assert read(tmp_path / "one") == ["compare_decoding"]
    assert not run(tmp_path / "more", "--only=lab", "--only=memory")
    assert read(tmp_path / "more") == ["check_step_memory", "compare_steps"]
    assert not run(tmp_path / "all")
    assert len(read(tmp_path / "all")) == 6
    said = run(tmp_path / "none", "--only", "decode")
    assert said == (
        "only='decode': no case has it in its name; there are: whole step, real model; peak memory; update; decoding; "
        "whole step, arithmetic lab; whole step, visual test bed"
    )
    assert not (tmp_path / "none").exists()
    assert "already exists" in run(tmp_path / "one")
    assert [*plan_gpu_cases(TINY, "1")[0]] == ["update", "peak memory", "peak memory, long", "decoding", "whole step"]


def test_random_models_are_seeded():
    first, second = (build_model(TINY) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
