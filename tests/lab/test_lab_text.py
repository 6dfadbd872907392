"""The base of the lab's text families: its tokenizer, what it is taught, its quality."""

import json
import random
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_lab_families import calculate, read_expression, seeds

from spine_rl.lab.adapt import adapt_lab
from spine_rl.lab.families.arithmetic import draw_chain
from spine_rl.lab.families.choice import draw_choice
from spine_rl.lab.families.family import find_split
from spine_rl.lab.families.words import draw_story
from spine_rl.lab.make_base import check_quality, measure_quality
from spine_rl.lab.make_text_base import MARKS, NEW_PHRASES, STAGES, Stage, draw_example, grow_base, train_text_base
from spine_rl.lab.tasks import ARITHMETIC, TEXT_BASE, TEXT_TASKS, get_task
from spine_rl.lab.teach import Recipe
from spine_rl.lab.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer(NEW_PHRASES)


@pytest.mark.parametrize(("stage", "chains", "choices", "long"), [(0, 0.35, 0.35, 0.2), (1, 0.2, 0.6, 0.12)])
def test_mixtures_hold_no_adaptation_problem(stage, chains, choices, long):
    rng = random.Random(0)
    prompts = [draw_example(STAGES[stage].shares, rng)[0] for _ in range(2000)]
    assert {find_split(read_expression(prompt)) for prompt in prompts} == {"train"}
    openings = [re.match("Work|Choose|[A-Z][a-z]+ has", prompt)[0] for prompt in prompts]
    assert openings.count("Work") / 2000 == pytest.approx(chains, abs=0.05)
    assert openings.count("Choose") / 2000 == pytest.approx(choices, abs=0.05)
    lengths = [len(calculate(read_expression(prompt))) - 1 for prompt in prompts]
    assert max(lengths) == 20
    assert sum(length > 8 for length in lengths) / 2000 == pytest.approx(long, abs=0.04)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_the_grown_tokenizer_gives_text_back(text):
    assert TOKENIZER.decode(TOKENIZER(text).input_ids) == text


@given(seeds)
def test_words_are_tokens_and_arithmetic_is_read_as_before(seed):
    rng = random.Random(seed)
    story, choice, chain = draw_story(rng, 5), draw_choice(rng, 5), draw_chain(rng, 5)
    for prompt in (story.prompt, choice.prompt):
        assert TOKENIZER.decode(TOKENIZER(prompt).input_ids) == prompt
    pieces = TOKENIZER.tokenize(story.prompt)
    assert not [piece for piece in pieces if len(piece) == 1 and piece.isalpha()]  # no word is spelled
    assert len(TOKENIZER(choice.prompt).input_ids) == 1 + len(chain_part(choice)) + 4 + sum(map(len, choice.options))
    assert TOKENIZER(chain.prompt).input_ids == build_tokenizer()(chain.prompt).input_ids


def chain_part(choice):
    return choice.prompt.partition("\n")[0].partition(": ")[2]


def test_growing_changes_nothing_that_was_known():
    model, tokenizer = grow_base()
    old, old_tokenizer = ARITHMETIC.load_base()
    rows = model.get_input_embeddings().weight
    assert len(rows) == len(tokenizer) > len(old_tokenizer)
    old_ids = old_tokenizer.get_vocab()
    assert {token: tokenizer.get_vocab()[token] for token in old_ids} == old_ids
    assert torch.equal(rows[: len(old_tokenizer)], old.get_input_embeddings().weight)
    assert rows.data_ptr() == model.get_output_embeddings().weight.data_ptr()  # still one table


def test_maker_learns(capsys):
    train_text_base([Stage(Recipe(steps=2, batch_size=4), stage.shares) for stage in STAGES])
    assert capsys.readouterr().out.count("step     1") == 2


def test_text_base_is_small_and_safe():
    files = [*TEXT_BASE.iterdir()]
    assert sum(path.stat().st_size for path in files) <= 4_000_000
    assert {path.suffix for path in files} == {".json", ".safetensors", ".jinja"}


@pytest.fixture(scope="module")
def recorded():
    return json.loads((TEXT_BASE / "quality.json").read_text())["tasks"]


def test_recorded_quality_meets_the_marks(recorded):
    assert recorded.keys() == TEXT_TASKS.keys()
    for name, marks in MARKS.items():
        check_quality(recorded[name], marks)
    with pytest.raises(ValueError, match=r"greedy_pass@1 in \[0.2, 0.75\]; maj@8 in \[0.5, 0.9\]"):
        check_quality(recorded["choice"] | {"greedy_pass@1": 0.9, "maj@8": 0.95}, MARKS["choice"])


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXT_TASKS)
def test_text_base_has_the_recorded_quality(name, recorded):
    task = get_task(name)
    quality = measure_quality(task, *task.load_base())
    for measure in ("greedy_pass@1", "maj@8", "careful"):
        assert quality[measure] == pytest.approx(recorded[name][measure], abs=0.05)


@pytest.mark.slow
def test_a_choice_is_voted_on_by_letters():
    task = get_task("choice")
    problems = task.make_problems("adapt", 16)
    run = adapt_lab(
        task,
        "spine",
        problems,
        learning_rate=1e-4,
        steps=1,
        seed=0,
        evaluate_every=1,
    )
    assert run.steps[0]["vote/abstained"] < 0.1
    assert run.steps[0]["vote/distinct_answers"] <= 4
    assert len(run.curve) == 2
