"""Answers from the votes before and after an adaptation."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models import save_qwen2
from spine_rl.cli.train_command import ProblemsToSolve
from spine_rl.errors import SpineError
from spine_rl.evaluation.responses import ResponseRow
from spine_rl.problems import Problem
from spine_rl.solve.answers import describe_adaptation, solve_problems
from spine_rl.solve.options import SolveOptions, list_run_tokens, name_places


def respond(*answers):
    return [
        ResponseRow("p", number, f"It is \\boxed{{{answer}}}." if answer else "Hm.", 5, False)
        for number, answer in enumerate(answers)
    ]


PROBLEM = [Problem("p", "1+1=")]


@pytest.mark.parametrize(
    ("before", "after", "helped", "answer", "shares"),
    [
        ("2234", "3332", True, "3", (0.25, 0.75)),
        ("2234", "3332", False, "2", (0.5, 0.25)),
        ("2234", ["", "", "", ""], True, "2", (0.5, 0.0)),  # the adapted model has none
        (["", ""], ["", ""], True, None, (0.0, 0.0)),
    ],
)
def test_the_vote_that_counts_gives_the_answer(before, after, helped, answer, shares):
    (solved,) = solve_problems(PROBLEM, [respond(*before)], [respond(*after)], helped=helped)
    assert (solved.answer, solved.share_before, solved.share_after) == (answer, *shares)
    assert solved.response == (None if answer is None else f"It is \\boxed{{{answer}}}.")
    assert not solved.agree  # that neither has an answer is no agreement
    assert (solved.confidence is None) == (answer is None)


def test_adaptation_counts_where_kept_weights_were_better_than_the_start():
    kept = {"step": 3, "last_step": 9, "share": 0.6, "reason": "its responses gave the first labels most often"}
    assert describe_adaptation(kept) == (
        True,
        "the answers are the adapted model's vote (step 3 of 9): its responses gave the first labels most often",
    )
    assert not describe_adaptation({**kept, "step": 0})[0]
    assert not describe_adaptation({**kept, "share": None})[0]
    assert not describe_adaptation({})[0]


def test_what_is_said_wins_over_the_runs_file():
    options = SolveOptions(model="m", out=Path("o.jsonl"), run=Path("r.yaml"), max_completion_length=8)
    problems = ProblemsToSolve("p.jsonl", prompt_column="text", limit=2)
    assert list_run_tokens(options, problems.data, problems.columns, 4, Path("f")) == [
        "--config", "r.yaml", "--max_completion_length=8", "--prompt_column=text", "--limit=2", "--data=p.jsonl",
        "--model=m", "--output_dir=f",
    ]  # fmt: skip
    usual = list_run_tokens(
        replace(options, run=None, max_completion_length=None), problems.data, problems.columns, 4, Path("f")
    )
    assert {"--max_completion_length=512", "--num_generations=8"} <= set(usual)


def test_advice_names_options_that_the_command_has_and_says_where_others_stand():
    advice = "raise --num_votes, or --max_completion_length, or --prompt_suffix ' Box it.'"
    assert name_places(advice) == (
        "raise num_votes (in --run's file), or --max_completion_length, or --prompt_suffix ' Box it.'"
    )


def test_too_few_problems_for_a_step_are_told_before_the_first_vote(spine, tmp_path, monkeypatch):
    monkeypatch.setattr("spine_rl.solve.run.record_responses", lambda *_, **__: pytest.fail("responses were drawn"))
    data, run, model = tmp_path / "p.jsonl", tmp_path / "run.yaml", save_qwen2(tmp_path / "model")
    data.write_text('{"prompt": "1+1="}\n')
    run.write_text("num_generations: 2\nper_device_train_batch_size: 8\nuse_cpu: true\n")
    status, _, error = spine("solve", data, "--model", model, "--out", tmp_path / "a.jsonl", "--run", run)
    assert (status, "the data has 1 problems, but a step takes 4" in error) == (2, True), error


def test_votes_are_sampled_as_the_run_samples(spine, tmp_path, monkeypatch):
    def draw(model, plan, folder, **_):
        drawn = plan.decoding
        raise SpineError(f"temperature {drawn.temperature}, top-p {drawn.top_p}, {json.dumps(drawn.more)}")

    monkeypatch.setattr("spine_rl.solve.run.record_responses", draw)
    data, run, model = tmp_path / "p.jsonl", tmp_path / "run.yaml", save_qwen2(tmp_path / "model")
    data.write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(2)))
    run.write_text("num_generations: 2\nper_device_train_batch_size: 4\ntemperature: 0.8\ntop_p: 0.9\nuse_cpu: true\n")
    with run.open("a") as file:
        file.write("top_k: 9\nmin_p: 0.01\nrepetition_penalty: 1.1\ngeneration_kwargs: {eos_token_id: 7}\n")
    status, _, error = spine("solve", data, "--model", model, "--out", tmp_path / "a.jsonl", "--run", run)
    assert (status, "temperature 0.8, top-p 0.9" in error) == (2, True), error
    assert '{"top_k": 9, "min_p": 0.01, "repetition_penalty": 1.1, "eos_token_id": 7}' in error


@pytest.mark.slow
def test_the_command_answers_and_goes_on(spine, tmp_path, monkeypatch):
    model, data, out = save_qwen2(tmp_path / "model"), tmp_path / "p.jsonl", tmp_path / "answers.jsonl"
    data.write_text("".join(json.dumps({"id": n, "text": f"{n}+1="}) + "\n" for n in range(2)))
    command = ("solve", data, "--model", model, "--out", out, "--num-generations=2", "--max-completion-length=4")
    status, _, error = spine(*command)
    assert (status, "name one with prompt_column" in error) == (2, True)
    command += ("--prompt-column", "text")
    status, printed, error = spine(*command)
    assert status == 0, error
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["0", "1"]
    assert "the answers are the first vote's" in printed
    assert (tmp_path / "answers.html").exists()
    first = out.read_text()
    assert spine(*command)[0] == 2  # the answers exist
    out.unlink()
    (tmp_path / "answers.html").unlink()
    monkeypatch.setattr("spine_rl.solve.run.write_page", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match=r"answers.html could not be drawn .*; the answers are complete"):
        assert spine(*command)[0] == 0
    assert out.read_text() == first
