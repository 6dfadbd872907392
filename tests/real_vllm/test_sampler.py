"""The real vLLM beside transformers' `generate`; `make test-vllm`."""

import json
import shutil
from collections import Counter

import pytest
from scipy.stats import chi2_contingency

pytest.importorskip("vllm", reason="vLLM is not installed; make test-vllm")

from spine_rl.engine.samplers import Decoding, load_sampler
from spine_rl.evaluation.compared import EvalOptions, run_evaluation
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.problems import encode_prompts

MODEL = str(ARITHMETIC.base)
NAMES = ("transformers", "continuous", "vllm")


@pytest.fixture(scope="module")
def engines():
    return {name: load_sampler(name, MODEL, "float32") for name in NAMES}


@pytest.fixture(scope="module")
def prompts(engines):
    problems = ARITHMETIC.make_problems("adapt", 24).problems
    chats = [[{"role": "user", "content": problem.prompt}] for problem in problems]
    return encode_prompts(engines["vllm"].tokenizer, chats)


@pytest.mark.parametrize("limit", [100, 12])
def test_greedy_responses_are_the_same(engines, prompts, limit):
    """Tokens, text, the end token, and who ran into the limit."""
    decoding = Decoding(limit, temperature=0.0)
    ours, theirs = (engines[name].generate(prompts, decoding) for name in ("transformers", "vllm"))
    assert theirs == ours
    assert all(response.truncated for response in theirs) == (limit == 12)
    assert limit == 12 or all(response.token_ids[-1] in engines["vllm"]._ends for response in theirs)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (1.7, 0.7)])
def test_frequencies_agree(engines, prompts, temperature, top_p):
    drawn = {}
    for name, engine in engines.items():
        decoding = Decoding(6, temperature=temperature, top_p=top_p, batch_size=500, seed=11)
        drawn[name] = Counter(response.text for response in engine.generate(prompts[:1] * 1500, decoding))
    texts = sorted(set().union(*drawn.values()), key=lambda text: -sum(counts[text] for counts in drawn.values()))
    often = [text for text in texts if sum(counts[text] for counts in drawn.values()) >= 30]
    assert len(often) > 1
    table = [[counts[text] for text in often] for counts in drawn.values()]
    table = [[*row, 1500 - sum(row)] for row in table]
    table = table if any(row[-1] for row in table) else [row[:-1] for row in table]
    assert chi2_contingency(table).pvalue > 1e-3, drawn


def test_a_models_own_defaults_change_nothing(engines, prompts, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    path = folder / "generation_config.json"
    own = {"do_sample": True, "temperature": 0.2, "top_k": 1, "top_p": 0.1, "repetition_penalty": 3.0}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    decoding = Decoding(100, temperature=1.0, seed=3)
    assert load_sampler("vllm", str(folder), "float32").generate(prompts, decoding) == engines["vllm"].generate(
        prompts, decoding
    )


def test_evaluations_have_the_same_rows(tmp_path):
    data = tmp_path / "data.jsonl"
    problems, gold = ARITHMETIC.make_problems("adapt", 6).problems, ARITHMETIC.make_problems("adapt", 6).gold_answers
    rows = [{"id": each.id, "prompt": each.prompt, "answer": gold[each.id]} for each in problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reports = {}
    for name in ("transformers", "vllm"):
        options = EvalOptions(
            str(data), Decoding(100, seed=1), model=MODEL, dtype="float32", num_samples=4, engine=name,
            out=tmp_path / name,
        )  # fmt: skip
        reports[name] = run_evaluation(options)
    greedy = [(tmp_path / name / "greedy.jsonl").read_text() for name in reports]
    assert greedy[0] == greedy[1]
    lines = [(tmp_path / name / "samples.jsonl").read_text().splitlines() for name in reports]
    assert [json.loads(line).keys() for line in lines[0]] == [json.loads(line).keys() for line in lines[1]]
    assert reports["vllm"].keys() == reports["transformers"].keys()
