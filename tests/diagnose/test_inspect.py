"""Inspect: token scores, the page with hostile responses in a browser, and the test of forks on a known case."""

import html
import importlib.util
import json
import math
import re

import pytest
import torch

from models import QWEN, build_architecture, build_qwen2
from paths import ROOT
from spine_rl.diagnose.fork_rule import ForkRule
from spine_rl.diagnose.fork_summary import summarize_forks
from spine_rl.diagnose.inspect_answer import answer_ballots, tell_forks, tell_validation
from spine_rl.diagnose.inspect_page import build_page
from spine_rl.diagnose.rollouts import Rollouts, draw_rollouts
from spine_rl.diagnose.token_scores import TokenScores, can_share_prompt, score_responses, score_tokens
from spine_rl.diagnose.validate_forks import TokenTrial, _continue, summarize_trials, validate_forks
from spine_rl.engine.samplers import Decoding, SampledResponse, TransformersSampler
from spine_rl.errors import DataError
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.problems import Problem, PromptStyle
from spine_rl.voting import hold_vote

ATTACK = "document.title='owned'"
HOSTILE = f'</style></script><script>{ATTACK}</script><img src=x onerror="{ATTACK}">\u202e\'"'


def test_scores_are_of_the_distribution_before_each_token():
    model, _ = build_qwen2()
    prompt, response = [5, 6, 7], [8, 9]
    inputs = {"input_ids": torch.tensor([[*prompt, *response]])}
    scores = score_tokens(model, inputs, len(response), temperature=2.0, top_k=3)
    with torch.no_grad():
        logits = model.eval()(torch.tensor([[5, 6, 7, 8]])).logits[0, 2:] / 2.0
    probabilities = logits.softmax(-1)
    torch.testing.assert_close(scores.probabilities, probabilities[[0, 1], response])
    torch.testing.assert_close(scores.entropies, -(probabilities * probabilities.log()).sum(-1))
    assert scores.top_ids[:, 0].tolist() == probabilities.argmax(-1).tolist()


@pytest.mark.parametrize("name", ["qwen2", "gemma3", "mistral"])  # two of them with a sliding window
def test_responses_on_one_prompt_are_scored_as_one_by_one(name):
    model, _ = build_architecture(name)
    assert can_share_prompt(model)
    for prompt in ([7], [5, 6, 7, 11, 12, 13, 14, 15, 16, 17]):
        responses = [[8], [9, 10, 11, 12], [], [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]]
        shared = score_responses(model, prompt, responses, temperature=0.7)
        for response, scores in zip(responses, shared, strict=True):
            alone = score_tokens(
                model, {"input_ids": torch.tensor([prompt + response])}, len(response), temperature=0.7
            )
            for name in ("entropies", "token_ids", "probabilities", "top_probabilities"):
                torch.testing.assert_close(getattr(scores, name), getattr(alone, name))


def test_models_whose_prompts_are_not_shared():
    assert not can_share_prompt(build_architecture(QWEN)[0])  # images, and positions of their own
    model, _ = build_architecture("qwen2")
    model.config.layer_types = ["full_attention", "linear_attention", "full_attention"]
    assert not can_share_prompt(model)


class _Tokenizer:
    """Every token is the hostile text."""

    def decode(self, ids, **_):
        return HOSTILE * len(ids)


@pytest.fixture
def hostile_page():
    scores = TokenScores(
        torch.tensor([1.0, 0.1]),
        torch.tensor([1, 2]),
        torch.tensor([0.5, 0.9]),
        torch.tensor([[1, 2]] * 2),
        torch.tensor([[0.5, 0.2]] * 2),
    )
    response = SampledResponse(HOSTILE * 2, [1, 2], False)
    problems = [Problem(HOSTILE, HOSTILE), Problem("b", "b")]
    ballots = [hold_vote(HOSTILE, [HOSTILE, None]), hold_vote("b", ["1", "1"])]
    drawn = Rollouts(
        problems, [[1]] * 2, [HOSTILE] * 2, [[response] * 2] * 2, ballots, [[scores] * 2] * 2, 1.0, 1.0, True
    )
    return build_page(drawn, _Tokenizer(), ForkRule())


def test_hostile_text_is_text_on_the_page(hostile_page):
    assert hostile_page.count("<script") == 1
    assert "<img" not in hostile_page
    assert "\u202e" not in hostile_page
    assert not re.search(r"""(src|href)=["'](?!#)""", hostile_page)
    details = re.search(r'data-details="([^"]*)"', hostile_page)
    assert details is not None
    assert "&lt;script&gt;" in details[1]


class _Words:
    """Token i is the i-th word."""

    words = ("", "so ", "7", "=", "9")

    def decode(self, ids, **_):
        return "".join(self.words[index] for index in ids)


def _round(entropies, *, votes=("7", "9")):
    """One problem with two responses `so 7=9` of these entropies."""
    ids = [1, 2, 3, 4]
    tops = torch.tensor([[2, 4]] * 4), torch.tensor([[0.6, 0.4]] * 4)
    scores = TokenScores(torch.tensor(entropies), torch.tensor(ids), torch.full((4,), 0.5), *tops)
    response, ballots = SampledResponse("so 7=9", ids, False), [hold_vote("a", list(votes))]
    return Rollouts([Problem("a", "a")], [[1]], ["a"], [[response] * 2], ballots, [[scores] * 2], 1.0, 1.0, True)


def test_forks_are_counted_by_place_and_kind_with_examples():
    summary = summarize_forks(_round([0.1, 2.0, 0.3, 0.2]), _Words(), ForkRule())
    assert summary is not None
    assert (summary.num_tokens, summary.num_forks) == (8, 2)
    assert math.isclose(summary.entropy_share, 2.0 / 2.6, rel_tol=1e-5)
    assert math.isclose(summary.other_entropy, 0.2, rel_tol=1e-5)
    assert summary.positions == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]  # the second of four tokens begins at a quarter
    assert [(kind.name, kind.tokens, kind.forks) for kind in summary.kinds] == [
        ("number", 0.5, 1.0), ("word", 0.25, 0.0), ("sign", 0.25, 0.0),
    ]  # fmt: skip
    (example,) = summary.examples  # the same token in both responses is shown once
    assert (example.before, example.text, example.after) == ("so ", "7", "=9")
    assert [text for text, _ in example.alternatives] == ["7", "9"]
    assert "marks 2 of 8 tokens" in tell_forks(summary, "spine")[0]
    assert "between 20% and 30%" in tell_forks(summary, "spine")[1]


def test_where_all_tokens_are_updated_none_is_singled_out():
    summary = summarize_forks(_round([0.1, 2.0, 0.3, 0.2]), _Words(), ForkRule("all"))
    assert tell_forks(summary, "ttrl") == ["Preset ttrl updates all 8 tokens; their mean entropy is 0.65 nats."]
    assert tell_forks(None, "ttrl") == []


def test_the_answer_is_whether_responses_disagree():
    divided, unanimous, empty = hold_vote("a", ["1", "2"]), hold_vote("b", ["1", "1"]), hold_vote("c", [None, None])
    answer = answer_ballots([divided, unanimous, empty])
    assert answer.teaches
    assert answer.headline == (
        "There is something to learn: responses disagree on 1 of 3 problems. The others: 1 unanimous, "
        "1 without a readable answer."
    )
    assert not answer_ballots([unanimous, empty]).teaches
    (told,) = tell_validation(summarize_trials([TokenTrial(0.1, True, True, 0.75, 0.25)]))
    assert "changed in 75% of the trials" in told
    assert "kept, it changed in 25%" in told


@pytest.mark.slow
def test_a_browser_runs_the_pages_script_alone(hostile_page, browse):
    document = browse(hostile_page)
    assert "<title>SPINE inspect</title>" in document
    assert "2 of 2 problems" in document  # the script ran


READER = """
const log = [], byId = (id) => document.getElementById(id);
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const set = (id, value) => { byId(id).value = value; byId(id).dispatchEvent(new Event("input")); };
const count = () => log.push(byId("count").textContent);
document.querySelector(".response .text").focus();
press("ArrowRight"); log.push(byId("details").textContent);
press("End"); log.push(byId("details").textContent);
document.activeElement.blur();
press("j"); press("j"); log.push(document.activeElement.id);
press("k"); log.push(document.activeElement.id);
set("kind", "unanimous"); count(); set("kind", "");
set("vote", "abstain"); count(); set("vote", "");
press("/"); log.push(document.activeElement.id);
set("search", "nothing"); count();
press("Escape"); count();
document.title = JSON.stringify(log);
"""


@pytest.mark.slow
def test_the_page_is_usable_by_keyboard_with_search_and_filter(hostile_page, browse):
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", hostile_page)  # it forbids another script
    document = browse(page.replace("</body>", f"<script>{READER}</script></body>"))
    title = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    assert title is not None
    first, last, *rest = json.loads(html.unescape(title[1]))
    assert "50.0 %, entropy 1 nats" in first
    assert "90.0 %, entropy 0.1 nats" in last
    moves, counts = ["problem-2", "problem-1"], ["1 of 2 problems", "1 of 2 problems"]
    assert rest == [*moves, *counts, "search", "0 of 2 problems", "2 of 2 problems"]


class _Engine:
    """Continues with 7 if a response begins with 7, with 8 if with 8, and begins anew with 8."""

    context = None

    class tokenizer:  # noqa: N801
        @staticmethod
        def decode(ids, **_):
            return f"\\boxed{{{ids[0]}}}"

    def generate(self, prompts, decoding):
        return [SampledResponse("", [8] if len(prompt) == 1 else [0], False) for prompt in prompts]


def test_only_the_token_that_decides_is_found_to_decide():
    scores = TokenScores(torch.tensor([2.0, 0.2, 0.1, 0.0]), torch.tensor([7, 1, 1, 0]), *[torch.zeros(4)] * 3)
    response = SampledResponse("\\boxed{7}", [7, 1, 1, 0], False)
    problems, ballots = [Problem("a", "a")], [hold_vote("a", ["7", "7"])]
    drawn = Rollouts(problems, [[3]], ["a"], [[response] * 2], ballots, [[scores] * 2], 1.0, 1.0, True)
    result = validate_forks(_Engine(), drawn, Decoding(max_new_tokens=9), num_tokens=10, num_repeats=2)
    assert sorted((round(t.entropy, 3), t.resampled, t.kept) for t in result.trials) == [
        (0.1, 0, 0), (0.1, 0, 0), (0.2, 0, 0), (0.2, 0, 0), (2.0, 1, 0), (2.0, 1, 0),
    ]  # fmt: skip
    assert result.num_deciding == 2
    assert [(score.precision, score.recall) for score in result.selectors] == [(1.0, 1.0), (1.0, 1.0)]


def test_every_continuation_has_the_room_of_its_response():
    """A long prefix leaves little of the context; shorter ones beside it must not be cut off for it."""

    class Engine:
        context, asked = 12, []

        def generate(self, prompts, decoding):
            self.asked.append((sorted(map(len, prompts)), decoding.max_new_tokens))
            assert all(len(prompt) + decoding.max_new_tokens <= self.context for prompt in prompts)
            return [SampledResponse("", [len(prompt)], False) for prompt in prompts]

    engine = Engine()
    prompts = [[0] * length for length in (3, 10, 4, 9)]  # of 2 tokens, and prefixes of 1, 8, 2 and 7
    drawn = _continue(engine, prompts, [9, 2, 8, 3], Decoding(max_new_tokens=10), num_repeats=1)
    assert {row: responses[0].token_ids for row, responses in drawn.items()} == {0: [3], 1: [10], 2: [4], 3: [9]}
    assert engine.asked == [([10], 2), ([9], 3), ([4], 8), ([3], 9)]
    engine.context = 30
    assert len(_continue(engine, prompts, [9, 2, 8, 3], Decoding(max_new_tokens=10), num_repeats=2)) == 4
    assert engine.asked[-1] == ([3, 3, 4, 4, 9, 9, 10, 10], 10)  # all at once


def test_without_answers_there_is_nothing_to_try():
    scores = TokenScores(torch.tensor([2.0, 0.0]), torch.tensor([7, 0]), *[torch.zeros(2)] * 3)
    response = SampledResponse("?", [7, 0], False)
    problems, ballots = [Problem("a", "a")], [hold_vote("a", [None, None])]
    drawn = Rollouts(problems, [[3]], ["a"], [[response] * 2], ballots, [[scores] * 2], 1.0, 1.0, True)
    with pytest.raises(DataError, match="no response has a readable answer"):
        validate_forks(_Engine(), drawn, Decoding(max_new_tokens=9))


def test_precision_recall_and_correlation_by_hand():
    trials = [TokenTrial(e, top, otsu, changed, 0.0) for e, top, otsu, changed in [
        (0.1, False, False, 0.0), (0.2, False, False, 0.6), (0.3, True, False, 0.1), (0.4, True, True, 0.9),
    ]]  # fmt: skip
    result = summarize_trials(trials)
    assert [(score.precision, score.recall) for score in result.selectors] == [(0.5, 0.5), (1.0, 0.5)]
    assert result.correlation is not None
    assert math.isclose(result.correlation[0], 0.8)  # ranks 1 2 3 4 and 1 3 2 4: 1 − 6·2/60
    assert summarize_trials([TokenTrial(0.1, True, True, 0.0, 0.0)] * 3).correlation is None


@pytest.mark.slow
def test_the_command_on_the_labs_model(spine, tmp_path):
    data, out = tmp_path / "p.jsonl", tmp_path / "inspect.html"
    rows = [{"id": problem.id, "prompt": problem.prompt} for problem in ARITHMETIC.make_problems("adapt", 2).problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, printed, _ = spine(
        "inspect", "--model", ARITHMETIC.base, "--data", data, "--out", out, "--num-generations", 2,
        "--max-completion-length", 110,
        "--validate-forks", "--validate-tokens", 10, "--validate-repeats", 2,
    )  # fmt: skip
    assert status == 0
    assert "Otsu" in printed
    assert out.read_text().count('class="response"') == 4


def test_rollouts_keep_their_order():
    engine = TransformersSampler(*ARITHMETIC.load_base())
    problems = ARITHMETIC.make_problems("adapt", 3).problems
    drawn = draw_rollouts(engine, problems, PromptStyle(), Decoding(max_new_tokens=6), 2)
    assert [ballot.problem_id for ballot in drawn.ballots] == [problem.id for problem in problems]
    assert all(
        len(scores.entropies) == len(response.token_ids)
        for scores, response in zip(drawn.all_scores, drawn.all_responses, strict=True)
    )


def test_the_labs_families_are_validated_by_a_script(tmp_path, monkeypatch):
    path = ROOT / "benchmarks" / "fork_validation.py"
    spec = importlib.util.spec_from_file_location("fork_validation", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    families, small = ("arithmetic", "choice"), {"PROBLEMS": 2, "RESPONSES": 4, "TOKENS": 20, "REPEATS": 2}
    monkeypatch.setattr(script, "FAMILIES", families)
    for name, value in small.items():
        monkeypatch.setattr(script, f"NUM_{name}", value)
    monkeypatch.setattr("sys.argv", ["fork_validation.py", str(tmp_path)])
    (tmp_path / "results.md").write_text("<!-- findings: mine -->\nRead **this**.\n<!-- end of findings -->\n")
    script.main()
    outcome = json.loads((tmp_path / "forks.json").read_text())
    assert [len(outcome[name]["trials"]) for name in families] == [20, 20]
    page = (tmp_path / "results.md").read_text()
    assert "Read **this**." in page
    assert page.count("| arithmetic |") == 11  # the scores and ten tenths
    assert (tmp_path / "forks.png").stat().st_size > 5000
