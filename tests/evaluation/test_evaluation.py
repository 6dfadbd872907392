"""Evaluation: statistics, scores, recorded and resumed responses, engines, the report and its comparisons."""

import itertools
import json
import os
import sys
import types
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from models import build_qwen2, save_qwen2
from spine_rl.engine import sampler as base_module
from spine_rl.engine import sampler_entropy as entropy_module
from spine_rl.engine import samplers
from spine_rl.engine.continuous_sampler import ContinuousSampler
from spine_rl.engine.samplers import (
    ENGINES,
    Decoding,
    SampledResponse,
    TransformersSampler,
    check_loading,
    load_sampler,
    pick_batch_size,
)
from spine_rl.errors import ConfigError, DataError, RunFolderError
from spine_rl.evaluation import statistics as statistics_module
from spine_rl.evaluation.budget import count_responses, read_budget
from spine_rl.evaluation.compared import EvalOptions, run_evaluation
from spine_rl.evaluation.evaluate import evaluate
from spine_rl.evaluation.grading import make_answer_sheet, score_responses, score_votes
from spine_rl.evaluation.metrics import list_pass_ks
from spine_rl.evaluation.prompting import Prompting, settle_prompting
from spine_rl.evaluation.report import build_report, find_sharpening
from spine_rl.evaluation.report_table import build_tables
from spine_rl.evaluation.responses import Recorded, ResponseRow, first_difference, keep_whole_batches, load_recorded
from spine_rl.evaluation.run import EvaluationPlan, record_responses
from spine_rl.evaluation.sampling import prepare_prompts
from spine_rl.evaluation.statistics import bootstrap_means, compare_paired
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.problems import Problem, PromptStyle, encode_prompts
from spine_rl.training import SpineConfig


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_qwen2(tmp_path_factory.mktemp("models") / "qwen2")


@pytest.fixture
def problems_file(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"id": f"q{i}", "question": f"What is {'1+' * i}{i}?", "answer": str(2 * i)} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ---- statistics


def test_interval_of_a_share_is_near_the_normal_one():
    # 120 of 400: 1.96 * sqrt(0.3 * 0.7 / 400) = 0.0449
    low, high = bootstrap_means({"share": [1.0] * 120 + [0.0] * 280}, seed=0)["share"]
    assert (low, high) == (pytest.approx(0.3 - 0.0449, abs=0.005), pytest.approx(0.3 + 0.0449, abs=0.005))


def test_intervals_repeat_and_have_no_width_where_nothing_varies():
    columns = {"a": [1.0, 0.0, 1.0, 1.0], "b": [1.0] * 4}
    assert bootstrap_means(columns, 3) == bootstrap_means(columns, 3)
    assert bootstrap_means(columns, 3)["b"] == (1.0, 1.0)
    assert bootstrap_means({"a": [1.0]}, 0) == {"a": None}


def test_interval_covers_the_truth_in_about_95_of_100(monkeypatch):
    monkeypatch.setattr(statistics_module, "RESAMPLES", 999)
    simulated = np.random.default_rng(0).random((600, 100)) < 0.3
    intervals = bootstrap_means({str(i): row for i, row in enumerate(simulated.astype(float))}, 0).values()
    assert 0.91 <= np.mean([low <= 0.3 <= high for low, high in intervals]) <= 0.98


def test_paired_test_counts_signs_exactly_and_is_symmetric():
    # 5 of 5 better: of 32 sign patterns the two extreme ones are as far from 0
    better = compare_paired([1.0] * 5, [0.0] * 5, 0)
    assert better == {"difference": 1.0, "interval": (1.0, 1.0), "p": pytest.approx(2 / 32)}
    model, baseline = np.random.default_rng(1).random((2, 40))
    there, back = compare_paired(model, baseline, 0), compare_paired(baseline, model, 0)
    assert there["difference"] == pytest.approx(-back["difference"])
    assert there["p"] == pytest.approx(back["p"], abs=0.02)
    assert there["interval"] == pytest.approx([-bound for bound in reversed(back["interval"])], abs=0.01)
    assert compare_paired([1.0, 0.0], [1.0, 0.0], 0)["p"] == 1.0
    assert compare_paired([1.0], [0.0], 0)["p"] is None


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 12), st.lists(st.integers(-12, 12), min_size=2, max_size=8))
@example(6, [-2, -4, 2, 1, 3])
def test_paired_test_is_the_share_of_sign_patterns_as_far_from_zero(k, numerators):
    differences = [Fraction(numerator, k) for numerator in numerators]
    patterns = itertools.product((1, -1), repeat=len(differences))
    sums = [sum(sign * each for sign, each in zip(signs, differences, strict=True)) for signs in patterns]
    far = sum(abs(each) >= abs(sum(differences)) for each in sums)
    assert compare_paired([*map(float, differences)], [0.0] * len(differences), 0)["p"] == pytest.approx(
        far / len(sums)
    )


def test_paired_test_finds_by_chance_what_it_should(monkeypatch):
    monkeypatch.setattr(statistics_module, "RESAMPLES", 399)
    rng = np.random.default_rng(0)
    null = [compare_paired(*(rng.random((2, 30)) < 0.4).astype(float), 0)["p"] for _ in range(200)]
    assert np.mean(np.array(null) <= 0.05) <= 0.09
    far = [compare_paired((rng.random(30) < 0.9) * 1.0, (rng.random(30) < 0.3) * 1.0, 0)["p"] for _ in range(20)]
    assert np.mean(np.array(far) <= 0.05) >= 0.9


def test_pairing_narrows_the_interval():
    hardness = np.random.default_rng(0).random(200)
    model, baseline = hardness + 0.1, hardness
    low, high = compare_paired(model, baseline, 0)["interval"]
    assert high - low < 1e-9
    alone = bootstrap_means({"model": model}, 0)["model"]
    assert alone[1] - alone[0] > 0.05


# ---- scores


def record(problem_id, completion, sample=0, *, num_tokens=10, truncated=False, entropy=0.5):
    return ResponseRow(problem_id, sample, completion, num_tokens, truncated, entropy)


def boxed(problem_id, *answers):
    return [record(problem_id, rf"\boxed{{{answer}}}", i, num_tokens=10 * (i + 1)) for i, answer in enumerate(answers)]


def test_scores_of_two_problems():
    problems = [Problem("a", "?"), Problem("b", "?")]
    sheet = make_answer_sheet(problems, {"a": "1", "b": "2"}, "math")
    samples = [boxed("a", 1, 1, 3, 4), [*boxed("b", 5, 5, 2), record("b", "?", 3, num_tokens=40, truncated=True)]]
    scores = score_responses(sheet, [record("a", "?"), *boxed("b", 2)], samples)
    expected = {
        "n_problems": 2, "greedy_pass@1": 0.5, "mean@4": (0.5 + 0.25) / 2, "pass@1": (0.5 + 0.25) / 2,
        "pass@2": ((1 - 1 / 6) + (1 - 3 / 6)) / 2, "pass@4": 1.0, "maj@4": 0.5, "majority_ratio": 0.5,
        "response_length": 25.0, "greedy_response_length": 10.0, "truncated": 0.125, "greedy_truncated": 0.0,
        "unparseable": 0.125, "greedy_unparseable": 0.5, "response_length_p10": 10.0, "response_length_p50": 25.0,
        "response_length_p90": 40.0, "entropy": 0.5,
    }  # fmt: skip
    assert scores.metrics == pytest.approx(expected)
    assert score_votes(sheet, [row[:1] for row in samples]) == [1.0, 0.0]


def test_pass_at_powers_of_two_and_k():
    assert [list_pass_ks(k) for k in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


def test_entropy_is_missing_where_an_engine_has_none():
    sheet = make_answer_sheet([Problem("a", "?")], {"a": "1"})
    rows = [replace(response, entropy=None) for response in boxed("a", 1, 2)]
    assert "entropy" not in score_responses(sheet, rows[:1], [rows]).metrics


def test_a_problems_own_type_and_options_win():
    problems = [
        Problem("number", "?"),
        Problem("letter", "?", options=("red", "green")),
        Problem("own", "?", answer_type="yes_no"),
    ]
    gold = {"number": "12", "letter": "B", "own": "yes"}
    assert make_answer_sheet(problems, gold, "auto").types == ["number", "choice", "yes_no"]
    assert make_answer_sheet(problems, gold, "math").types == ["math", "math", "yes_no"]
    sheet = make_answer_sheet(problems, gold, "auto")
    texts = ("The answer is 12", "The answer is (B)", "Final answer: yes")
    keys = [sheet.read(index, record("", text)) for index, text in enumerate(texts)]
    assert keys == list(sheet.gold)


def test_a_final_line_that_was_cut_off_is_no_answer():
    sheet = make_answer_sheet([Problem("a", "?")], {"a": "12"})
    assert sheet.read(0, record("a", "so we get\n12")) == sheet.gold[0]
    assert sheet.read(0, record("a", "so we get\n12", truncated=True)) is None


@pytest.mark.parametrize("gold", [{"a": "1"}, {"a": "1", "b": " "}])
def test_every_problem_needs_a_gold_answer(gold):
    with pytest.raises(DataError, match="'b' has no gold answer; evaluation needs one for every problem"):
        make_answer_sheet([Problem("a", "?"), Problem("b", "?")], gold)


def test_gold_answers_that_cannot_be_read_are_named():
    problems = [Problem(name, "?", answer_type="yes_no") for name in "abc"]
    with pytest.warns(UserWarning, match="gold answer of 'b' and of 1 more cannot be read, so no response is right"):
        sheet = make_answer_sheet(problems, {"a": "yes", "b": "7", "c": "8"})
    assert sheet.gold[1:] == [None, None]


# ---- the folder


def make_plan(problems):
    decoding = Decoding(12, temperature=1.0, batch_size=4, seed=7)
    return EvaluationPlan("problems", problems, PromptStyle(), decoding, num_samples=3)


PROBLEMS = [Problem(f"q{i}", f"What is {'1+' * i}{i}?") for i in range(5)]


def interrupt_after(monkeypatch, batches):
    generate, calls = TransformersSampler.generate, itertools.count()

    def interrupted(self, prompts, decoding):
        if next(calls) == batches:
            raise KeyboardInterrupt
        return generate(self, prompts, decoding)

    monkeypatch.setattr(TransformersSampler, "generate", interrupted)


@pytest.mark.parametrize("batches", [1, 3, 4])  # of 2 greedy and 4 sampled ones
def test_an_interrupted_evaluation_goes_on_to_the_same_files(monkeypatch, model_folder, tmp_path, batches):
    plan = make_plan(PROBLEMS)
    whole = record_responses(model_folder, plan, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, batches)
        with pytest.raises(KeyboardInterrupt):
            record_responses(model_folder, plan, tmp_path / "broken")
    last = sorted((tmp_path / "broken").glob("*.jsonl"))[-1]
    with last.open("a") as file:  # what a kill amid writing leaves: rows of half a batch, and half a row
        file.write((json.dumps({"id": "q0"}) + "\n") * (batches > 1) + '{"id": "q')
    assert record_responses(model_folder, plan, tmp_path / "broken") == whole
    for name in ("greedy.jsonl", "samples.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_is_there_is_not_drawn_again(monkeypatch, model_folder, tmp_path):
    first = record_responses(model_folder, make_plan(PROBLEMS), tmp_path / "out")
    interrupt_after(monkeypatch, 0)
    assert record_responses(model_folder, make_plan(PROBLEMS), tmp_path / "out") == first


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"num_samples": 4}, r"another num_samples \(3 before, 4 now\)"),
        (
            {"decoding": Decoding(12, temperature=0.5, batch_size=4, seed=7)},
            r"another decoding.temperature \(1.0 before, 0.5",
        ),
        ({"problems": PROBLEMS[:4]}, r"another problems.number \(5 before, 4 now\)"),
        ({"style": PromptStyle(prompt_suffix="!")}, r"another prompt.prompt_suffix"),
        ({"engine": "continuous"}, r"another engine"),
    ],
)
def test_settings_are_never_mixed(model_folder, tmp_path, change, field):
    record_responses(model_folder, make_plan(PROBLEMS), tmp_path / "out")
    with pytest.raises(RunFolderError, match=field):
        record_responses(model_folder, replace(make_plan(PROBLEMS), **change), tmp_path / "out")


def test_weights_that_changed_under_the_same_name_are_noticed(tmp_path):
    folder = save_qwen2(tmp_path / "model")
    record_responses(folder, make_plan(PROBLEMS), tmp_path / "out")
    file = tmp_path / "model" / "model.safetensors"
    os.utime(file, (0, 0))  # as of a copy
    record_responses(folder, make_plan(PROBLEMS), tmp_path / "out")
    save_file({name: weight + 1e-3 for name, weight in load_file(file).items()}, file, {"format": "pt"})
    with pytest.raises(RunFolderError, match="another weights "):
        record_responses(folder, make_plan(PROBLEMS), tmp_path / "out")


def test_weights_in_one_file_or_below_an_adapter_that_changed_are_noticed(tmp_path):
    file, adapter = tmp_path / "model.gguf", tmp_path / "adapter"
    file.write_bytes(bytes(2**21))
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(file)}))
    before = [make_plan(PROBLEMS).describe(str(each))["weights"] for each in (file, adapter)]
    file.write_bytes(bytes(2**20) + b"x" * 2**20)
    now = [make_plan(PROBLEMS).describe(str(each))["weights"] for each in (file, adapter)]
    assert None not in before
    assert before[0] != now[0]
    assert before[1] != now[1]


def test_rows_of_a_broken_batch_are_dropped(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert keep_whole_batches(path, 4, 10) == 0
    path.write_text("1\n2\n3\n4\n5\n6")
    assert keep_whole_batches(path, 4, 10) == 4
    assert path.read_text() == "1\n2\n3\n4\n"
    path.write_text("".join(f"{i}\n" for i in range(10)))
    assert keep_whole_batches(path, 4, 10) == 10  # the last batch is a short one


def test_first_difference_names_the_field():
    assert first_difference({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}) == ("b.c", 2, 3)
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == ("b", None, 2)
    assert first_difference({"a": {"b": 1}}, {"a": {"b": 1}}) is None


def test_responses_to_other_problems_are_refused(model_folder, tmp_path):
    record_responses(model_folder, make_plan(PROBLEMS), tmp_path / "out")
    with pytest.raises(DataError, match="'q4' is not in the data"):
        load_recorded(tmp_path / "out", ["q0", "q1", "q2", "q3"])
    with pytest.raises(DataError, match="0 responses to problem 'q5', 1 expected"):
        load_recorded(tmp_path / "out", [*(problem.id for problem in PROBLEMS), "q5"])
    with pytest.raises(DataError, match=r"no evaluation, settings.json cannot be read"):
        load_recorded(tmp_path, ["q0"])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("settings.json", {"decoding": None}, "settings.json cannot be read"),
        ("settings.json", {"num_samples": "4"}, "settings.json cannot be read"),
        ("greedy.jsonl", {"id": ["a"]}, "line 1: not a response of spine eval"),
        ("greedy.jsonl", {"num_tokens": "3"}, "line 1: not a response of spine eval"),
        ("greedy.jsonl", {"truncated": None}, "line 1: not a response of spine eval"),
    ],
)
def test_garbage_in_an_evaluations_folder_is_named(tmp_path, name, change, message):
    settings = {"model": "m", "problems": {"number": 1}, "prompt": {}, "decoding": {"seed": 0}, "num_samples": 1}
    row = {"id": "a", "sample": 0, "completion": "1", "num_tokens": 3, "truncated": False}
    for file, content in (("settings.json", settings), ("greedy.jsonl", row), ("samples.jsonl", row)):
        (tmp_path / file).write_text(json.dumps(content | (change if file == name else {})) + "\n")
    with pytest.raises(DataError, match=message):
        load_recorded(tmp_path, ["a"])


def test_images_are_not_left_out_silently(model_folder, tmp_path):
    with pytest.raises(ConfigError, match="'a' has images; take an image-text model"):
        record_responses(
            model_folder, make_plan([Problem("a", "?", images=(Image.new("RGB", (2, 2)),))]), tmp_path / "out"
        )


# ---- engines


class FakeVllm(types.ModuleType):
    """Stands for the package: its documented names, over a model in memory."""

    def __init__(self):
        super().__init__("vllm")
        self.requests = []

    class SamplingParams:
        def __init__(self, **options):
            self.__dict__.update(options)

    def LLM(  # noqa: N802
        self, model, dtype, trust_remote_code, generation_config, enforce_eager=False, enable_chunked_prefill=True,
        **origin,
    ):  # fmt: skip
        self.origin = {"trust_remote_code": trust_remote_code, **origin}
        assert generation_config == "vllm"
        assert torch.accelerator.is_available() or not enable_chunked_prefill  # seeds need whole prompts on a CPU
        self.engine = load_sampler("transformers", model, dtype)
        return self

    def generate(self, prompts, sampling_params, use_tqdm):
        self.requests += sampling_params
        outputs = []
        for prompt, params in zip(prompts, sampling_params, strict=True):
            decoding = Decoding(params.max_tokens, params.temperature, params.top_p, 1, params.seed)
            response = self.engine.generate([prompt["prompt_token_ids"]], decoding)[0]
            completion = types.SimpleNamespace(
                text=response.text,
                token_ids=tuple(response.token_ids),
                finish_reason="length" if response.truncated else "stop",
            )
            outputs.append(types.SimpleNamespace(outputs=[completion]))
        return outputs


@pytest.fixture
def vllm(monkeypatch):
    fake = FakeVllm()
    monkeypatch.setitem(sys.modules, "vllm", fake)
    return fake


def test_every_engine_gives_the_same_report(model_folder, problems_file, tmp_path, vllm):
    shapes, rows = {}, {}
    for name in ENGINES:
        report = run_evaluation(
            EvalOptions(
                str(problems_file), Decoding(8, seed=1, batch_size=4), model=model_folder, num_samples=2,
                engine=name, out=tmp_path / name,
            )
        )  # fmt: skip
        shapes[name] = shape(report)
        rows[name] = [json.loads(line).keys() for line in (tmp_path / name / "samples.jsonl").read_text().splitlines()]
        assert (report["entropy"] is None) == (name == "vllm")
    assert len(set(shapes.values())) == 1
    assert rows["transformers"] == rows["continuous"] == rows["vllm"]
    greedy = [(tmp_path / name / "greedy.jsonl").read_text() for name in ENGINES]
    assert greedy[0] == greedy[1] == greedy[2]
    sampled = vllm.requests[6:]
    assert len({params.seed for params in sampled}) == len(sampled)  # each response has a seed of its own


def shape(value):
    """Names at every depth."""
    return tuple((name, shape(inner)) for name, inner in sorted(value.items())) if isinstance(value, dict) else None


def test_continuous_batching_agrees_with_generate_and_repeats_itself():
    model, tokenizer = ARITHMETIC.load_base()
    prompts = encode_prompts(
        tokenizer,
        [[{"role": "user", "content": problem.prompt}] for problem in ARITHMETIC.make_problems("adapt", 6).problems],
    )
    engines = TransformersSampler(model, tokenizer), ContinuousSampler(model, tokenizer)
    greedy = [engine.generate(prompts, Decoding(100, temperature=0.0, batch_size=3)) for engine in engines]
    assert greedy[0] == greedy[1]
    model.train()
    state = torch.random.get_rng_state()
    sampled = [engines[1].generate(prompts * 2, Decoding(100, seed=seed, batch_size=5)) for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training
    assert all(isinstance(response, SampledResponse) and not response.truncated for response in sampled[0])


def test_missing_and_unknown_engines(model_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match="engine='vllm' needs vLLM; pip install"):
        load_sampler("vllm", model_folder)
    with pytest.raises(ConfigError, match="engine='vlm': unknown; did you mean 'vllm'"):
        pick_batch_size("vlm", None)
    assert (pick_batch_size("transformers", None), pick_batch_size("vllm", 5)) == (64, 5)


def test_every_engine_loads_a_model_as_it_is_told(vllm, model_folder, monkeypatch):
    told = {"revision": "v2", "trust_remote_code": True, "attn_implementation": "sdpa", "dtype": "auto"}
    seen = {}

    def load(name, real=samplers.load_model_and_tokenizer, **options):
        seen.update(options)
        return real(name, **options)

    monkeypatch.setattr(samplers, "load_model_and_tokenizer", load)
    for name in ("transformers", "continuous"):
        seen.clear()
        load_sampler(name, model_folder, "float32", told)
        assert seen == {**told, "dtype": "float32"}
    load_sampler("vllm", model_folder, "float32", told)
    assert vllm.origin == {"revision": "v2", "tokenizer_revision": "v2", "trust_remote_code": True}
    engine = load_sampler("vllm", model_folder)
    assert vllm.origin == {"trust_remote_code": False}
    engine.generate([[5, 6]], Decoding(4, more={"eos_token_id": [7]}))
    assert 7 in vllm.requests[-1].stop_token_ids
    with pytest.raises(ConfigError, match="loads a model in its own way, without variant; take another engine"):
        check_loading("vllm", {**told, "variant": "fp16"})


def test_vllm_refuses_adapters(vllm, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="is an adapter, which this engine does not load"):
        load_sampler("vllm", str(tmp_path))


def test_entropies_do_not_depend_on_the_logits_that_fit(monkeypatch):
    model, tokenizer = build_qwen2()
    engine = TransformersSampler(model, tokenizer)
    prompts, responses = [[5, 6, 7], [8, 9], [5]], [[4, 5], [6, 7, 8, 9], []]

    def measure():
        return entropy_module.measure_entropies(model, prompts, responses, Decoding(8), engine.encode)

    together = measure()
    monkeypatch.setattr(entropy_module, "_MAX_LOGITS", 1)
    assert measure() == pytest.approx(together, abs=1e-6)
    logits = model(torch.tensor([[5, 6, 7, 4]])).logits[0, 2:].double().log_softmax(-1)
    assert together[0] == pytest.approx(-(logits.exp() * logits).sum(-1).mean().item(), abs=1e-6)
    assert together[2] == 0.0


def test_entropies_are_those_that_a_forward_pass_gives(monkeypatch):
    model, tokenizer = build_qwen2()
    engine, prompts, decoding = TransformersSampler(model, tokenizer), [[5, 6, 7], [8, 9], [8, 9]], Decoding(8, 0.7)
    drawn = engine.generate(prompts, decoding)
    ids = [response.token_ids for response in drawn]
    expected = entropy_module.measure_entropies(model, prompts, ids, decoding, engine.encode)
    assert [response.entropy for response in drawn] == pytest.approx(expected, abs=1e-5)
    assert all(response.entropy is None for response in engine.generate(prompts, replace(decoding, temperature=0.0)))
    engine.generator._serves_model = False  # transformers' own way measures nothing
    drawn = engine.generate(prompts, decoding)
    ids = [response.token_ids for response in drawn]
    expected = entropy_module.measure_entropies(model, prompts, ids, decoding, engine.encode)
    assert [response.entropy for response in drawn] == pytest.approx(expected, abs=1e-6)


def test_seeds_of_batches():
    assert base_module.derive_seed(3, 0) == 3  # a run of one batch is the run of `evaluate`
    seeds = {base_module.derive_seed(seed, row) for seed in range(20) for row in range(64, 64_000, 64)}
    assert len(seeds) > 20 * 999 - 3


# ---- the report


SETTINGS = {
    "model": "m",
    "problems": {"number": 4, "sha256": "x"},
    "prompt": {"prompt_suffix": ""},
    "decoding": {"max_new_tokens": 9, "temperature": 1.0, "top_p": 1.0, "seed": 0},
    "num_samples": 2,
}


def make_recorded(greedy, samples, **changes):
    """Responses by their answers, a list a problem."""
    ids = [f"q{i}" for i in range(len(greedy))]
    return Recorded(
        SETTINGS | {"num_samples": len(samples[0])} | changes,
        [boxed(problem_id, answer)[0] for problem_id, answer in zip(ids, greedy, strict=True)],
        [boxed(problem_id, *answers) for problem_id, answers in zip(ids, samples, strict=True)],
    )


SHEET = make_answer_sheet([Problem(f"q{i}", "?") for i in range(4)], {f"q{i}": "1" for i in range(4)}, "math")
TAGS = {"q0": {"subject": "algebra"}, "q1": {"subject": "algebra", "level": "5"}, "q2": {"subject": "number theory"}}


def test_report_by_tag():
    report = build_report(SHEET, TAGS, make_recorded([1, 2, 1, 1], [[1, 2]] * 4))
    subjects = report["by_tag"]["subject"]
    assert {name: group["n_problems"] for name, group in subjects.items()} == {"algebra": 2, "number theory": 1}
    assert subjects["algebra"]["greedy_pass@1"] == 0.5
    assert subjects["algebra"]["intervals"]["greedy_pass@1"] == (0.0, 1.0)
    assert subjects["number theory"]["mean@2"] == 0.5
    assert subjects["number theory"]["intervals"]["mean@2"] is None
    assert report["by_tag"]["level"]["5"]["greedy_pass@1"] == 0.0
    assert "baseline" not in report


def test_report_beside_a_baseline_and_its_vote_at_the_budget():
    model = make_recorded([1, 1, 1, 1], [[1, 1]] * 4)
    baseline = make_recorded([1, 2, 2, 2], [[2, 1, 1, 1], [2, 2, 1, 1], [2, 2, 2, 1], [1, 1, 1, 3]], model="b")
    report = build_report(SHEET, {}, model, baseline, budget=3)
    assert report["baseline"]["model"] == "b"
    assert report["baseline"]["mean@2"] == (0.5 + 0 + 0 + 1) / 4  # of the first 2 samples
    assert report["differences"]["greedy_pass@1"]["difference"] == 0.75
    assert report["budget"]["samples_per_problem"] == 3
    assert report["budget"]["baseline_maj"] == 0.5  # of the first 3
    assert report["budget"]["greedy_pass@1_minus_baseline_maj"]["difference"] == 0.5
    assert "budget" not in build_report(SHEET, {}, model, baseline)


@pytest.mark.parametrize(
    ("greedy", "entropy", "is_told"),
    [([1, 2, 2, 2], 0.2, True), ([1, 2, 2, 2], 0.35, False), ([1, 1, 1, 1], 0.2, False), ([1, 2, 2, 2], None, False)],
)
def test_a_gain_of_samples_that_are_only_more_certain_is_told(greedy, entropy, is_told):
    model = make_recorded(greedy, [[1, 1]] * 4, data="d")
    baseline = make_recorded([1, 2, 2, 2], [[1, 2]] * 4)
    report = build_report(SHEET, {}, model, baseline)
    report["entropy"], report["baseline"]["entropy"] = entropy, 0.4
    note = find_sharpening(report)
    assert (note is not None) == is_told
    assert note is None or "entropy of 0.20 nats instead of 0.40" in note
    assert any("lower temperature" in str(part) for part in build_tables(report)) == is_told
    same = build_report(SHEET, {}, baseline, baseline)
    assert find_sharpening(same | {"entropy": 0.1}) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problems": {"number": 4, "sha256": "y"}}, "another problems.sha256"),
        ({"prompt": {"prompt_suffix": "!"}}, "another prompt.prompt_suffix"),
        ({"decoding": SETTINGS["decoding"] | {"top_p": 0.9}}, r"another decoding.top_p \(0.9, the model 1.0\)"),
    ],
)
def test_only_what_was_drawn_alike_is_compared(changes, message):
    model = make_recorded([1] * 4, [[1, 1]] * 4)
    with pytest.raises(ConfigError, match=message):
        build_report(SHEET, {}, model, make_recorded([1] * 4, [[1, 1]] * 4, **changes))
    with pytest.raises(ConfigError, match="the baseline has 2 samples a problem, 5 are needed"):
        build_report(SHEET, {}, model, model, budget=5)


def test_graded_anew_the_report_is_the_same(model_folder, problems_file, tmp_path):
    options = EvalOptions(
        str(problems_file), Decoding(8, seed=1), model=model_folder, num_samples=2, baseline=model_folder, budget=3,
        out=tmp_path / "out",
    )  # fmt: skip
    drawn = run_evaluation(options)
    again = run_evaluation(
        EvalOptions(str(problems_file), Decoding(1), from_samples=tmp_path / "out", json_out=tmp_path / "again.json")
    )
    assert again == drawn
    assert (tmp_path / "again.json").read_text() == (tmp_path / "out" / "evaluation.json").read_text()
    assert len((tmp_path / "out" / "baseline" / "samples.jsonl").read_text().splitlines()) == 6 * 3


def test_recorded_and_unrecorded_evaluations_agree_in_one_batch(model_folder, problems_file, tmp_path):
    decoding = Decoding(8, seed=1, batch_size=12)
    report = run_evaluation(EvalOptions(str(problems_file), decoding, model=model_folder, num_samples=2))
    engine = load_sampler("transformers", model_folder)
    problems = [Problem(f"q{i}", f"What is {'1+' * i}{i}?") for i in range(6)]
    gold = {f"q{i}": str(2 * i) for i in range(6)}
    metrics = evaluate(
        engine.model, engine.tokenizer, problems, gold, decoding, num_samples=2, answer_type="auto"
    ).metrics
    assert {name: report[name] for name in metrics} == pytest.approx(metrics)


# ---- the adaptation's budget


def test_budget_of_a_run(tmp_path):
    assert read_budget(str(tmp_path)) is None
    file = tmp_path / "spine_config.json"
    file.write_text(json.dumps({"sampling": {"responses": 100, "problems": 30}}))
    assert read_budget(str(tmp_path)) == 4
    file.write_text("{}")
    with pytest.raises(ConfigError, match="give --budget N"):
        read_budget(str(tmp_path))


# ---- how a run asked


def write_run(folder, suffix="", limit=256, system=None, pixels=None):
    folder.mkdir(parents=True)
    run = {"system_prompt": system, "prompt_suffix": suffix, "max_image_pixels": pixels}
    resolved = {"run": run, "training": {"max_completion_length": limit}}
    (folder / "spine_config.json").write_text(json.dumps({"resolved": resolved}))
    return str(folder)


def test_a_question_comes_from_options_then_the_run_then_defaults(tmp_path):
    plain = settle_prompting({"prompt_suffix": "!"}, "no/run")
    assert (plain.prompting, plain.run, plain.taken) == (Prompting(None, "!", 1024, None), None, {})
    run = write_run(tmp_path / "run", " Go.", 3072, "Be brief.", 4096)
    settled = settle_prompting({"max_completion_length": 10, "system_prompt": ""}, run, "no/run")
    assert settled.prompting == Prompting(None, " Go.", 10, 4096)
    assert (settled.run, settled.taken) == (run, {"prompt_suffix": " Go.", "max_image_pixels": 4096})
    for model in (f"{run}/last", f"{run}/checkpoint-20"):
        assert settle_prompting({}, model).prompting == Prompting("Be brief.", " Go.", 3072, 4096)
    assert settle_prompting({}, f"{run}/other").prompting == Prompting(None, "", 1024, None)


def test_a_runs_arguments_of_the_template_are_asked_with(tmp_path):
    file = tmp_path / "run" / "spine_config.json"
    run = write_run(tmp_path / "run")
    content = json.loads(file.read_text())
    content["resolved"]["training"]["chat_template_kwargs"] = {"brief": True}
    file.write_text(json.dumps(content))
    style = settle_prompting({}, run).prompting.style
    assert style == PromptStyle(chat_template_kwargs={"brief": True})
    assert settle_prompting({"chat_template_kwargs": {}}, run).prompting.style == PromptStyle()
    assert style.describe() != PromptStyle().describe() == {"system_prompt": None, "prompt_suffix": ""}

    model, tokenizer = ARITHMETIC.load_base()
    tokenizer.chat_template += "{% if brief %}Quickly: {% endif %}"
    engine = TransformersSampler(model, tokenizer)
    plain, brief = (prepare_prompts(engine, [Problem("a", "1+1")], each, 8)[0] for each in (PromptStyle(), style))
    assert engine.render(brief).removeprefix(engine.render(plain)).strip() == "Quickly:"


def test_a_template_that_refuses_a_chat_is_one_line():
    model, tokenizer = ARITHMETIC.load_base()
    tokenizer.chat_template += "{% if messages[0].role == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    engine, problems = TransformersSampler(model, tokenizer), [Problem("a", "1+1"), Problem("b", "1+2")]
    assert len(prepare_prompts(engine, problems, PromptStyle(), 8)) == 2
    with pytest.raises(DataError, match=r"number 1: .* refuses its messages, of system, user \(No system role\)"):
        prepare_prompts(engine, problems, PromptStyle("Be brief."), 8)


def test_a_baselines_run_counts_too_and_runs_that_differ_are_refused(tmp_path):
    run, other = write_run(tmp_path / "run", " Go."), write_run(tmp_path / "other", limit=512)
    assert settle_prompting({}, "no/run", run).prompting.prompt_suffix == " Go."
    with pytest.raises(ConfigError, match=r"prompt_suffix ' Go.', .*other with ''; give --prompt-suffix"):
        settle_prompting({}, run, other)
    with pytest.raises(ConfigError, match=r"max_completion_length 256, .*other with 512; give --max-completion-length"):
        settle_prompting({"prompt_suffix": ""}, run, other)
    assert settle_prompting({"prompt_suffix": "", "max_completion_length": 8}, run, other).prompting == Prompting(
        None, "", 8, None
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "spine_config.json: not valid JSON"),
        ("[]", "spine_config.json: expected an object"),
        ("{}", "does not say the run's system_prompt; give --system-prompt"),
    ],
)
def test_a_run_that_does_not_say_is_refused(tmp_path, content, message):
    (tmp_path / "spine_config.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        settle_prompting({}, str(tmp_path))


@pytest.mark.parametrize(
    ("options", "steps", "expected"),
    [
        ({}, 10, 10 * 8),
        ({"gradient_accumulation_steps": 2}, 10, 10 * 16),
        ({"num_votes": 8}, 10, 10 * 16),
        ({"num_iterations": 2}, 10, 5 * 8),
        ({"steps_per_generation": 4}, 10, 3 * 32),  # the third generation batch is half used
    ],
)
def test_responses_that_a_run_sampled(tmp_path, options, steps, expected):
    config = SpineConfig(
        str(tmp_path), num_generations=4, per_device_train_batch_size=8, use_cpu=True, report_to="none", **options
    )
    assert count_responses(config, steps) == expected
