"""The visual test bed: its problems and pictures, its base model's quality, and that adaptation moves it."""

import json
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spine_rl.answers import gold_key, response_key
from spine_rl.lab.adapt import adapt_lab
from spine_rl.lab.demo import DemoSettings, run_demo
from spine_rl.lab.families.drawing import BACKGROUND, CELL, COLOURS, KINDS, Kind, draw_grid
from spine_rl.lab.families.family import detect_style, find_split
from spine_rl.lab.families.shapes import (
    EASY,
    HARD,
    SIZE,
    ShapeProblem,
    draw_problem,
    generate_shapes,
    write_lesson,
    write_solution,
)
from spine_rl.lab.make_base import check_quality, measure_quality
from spine_rl.lab.make_visual_base import (
    Stage,
    build_processor,
    draw_example,
    draw_training_problem,
    encode_images,
    train_visual_base,
)
from spine_rl.lab.tasks import VQA, to_problem_set
from spine_rl.lab.teach import Recipe
from spine_rl.problems import PromptStyle
from spine_rl.problems.visual_prompts import encode_visual_prompts, prepare_visual_prompts

RED, BLUE = Kind("red", "circle"), Kind("blue", "square")
GRID = (
    (RED, None, BLUE, RED, None),
    (None,) * 5,
    (RED, RED, RED, None, BLUE),
    (None, None, None, None, RED),
    (BLUE, None, None, None, None),
)


@pytest.fixture(scope="module")
def processor():
    return build_processor()


@pytest.mark.parametrize(
    ("asks", "kinds", "cell", "question", "solution"),
    [
        (
            "count",
            (RED,),
            None,
            "How many red circles?",
            r"row 1: 2; row 2: +0=2; row 3: +3=5; row 4: +1=6; row 5: +0=6; \boxed{6}",
        ),
        (
            "difference",
            (RED, BLUE),
            None,
            "How many more red circles than blue squares?",
            "red circles: row 1: 2; row 2: +0=2; row 3: +3=5; row 4: +1=6; row 5: +0=6; blue squares: row 1: 1; "
            r"row 2: +0=1; row 3: +1=2; row 4: +0=2; row 5: +1=3; 6-3=3; \boxed{3}",
        ),
        (
            "most",
            (RED,),
            None,
            "Which row has the most red circles?",
            r"row 1: 2; row 2: 0; row 3: 3; row 4: 1; row 5: 0; \boxed{3}",
        ),
        (
            "what",
            (),
            (1, 3),
            "What is in row 1, column 3?",
            r"row 1: red circle, nothing, blue square; \boxed{blue square}",
        ),
    ],
)
def test_problems_are_worked_row_by_row(asks, kinds, cell, question, solution):
    problem = ShapeProblem(asks, kinds, cell, GRID, looks=0)
    assert problem.question == question
    assert write_solution(problem, "careful", random.Random(0)) == f"Step by step: {solution}"


@pytest.mark.parametrize(("asks", "answer"), [("together", "9"), ("more", "yes")])
def test_two_kinds_are_added_and_compared(asks, answer):
    assert ShapeProblem(asks, (RED, BLUE), None, GRID, looks=0).answer == answer
    assert ShapeProblem("more", (BLUE, RED), None, GRID, looks=0).answer == "no"
    assert ShapeProblem("more", (RED, RED), None, GRID, looks=0).answer == "no"


def test_lessons_describe_and_count_row_by_row():
    assert write_lesson(ShapeProblem("count", (RED,), None, GRID, looks=0)) == (
        "How many red circles in each row?",
        "row 1: 2; row 2: 0; row 3: 3; row 4: 1; row 5: 0",
    )
    assert write_lesson(ShapeProblem("together", (RED, BLUE), None, GRID, looks=0)) == (
        "How many red circles and blue squares in each row?",
        "red circles: row 1: 2; row 2: 0; row 3: 3; row 4: 1; row 5: 0; "
        "blue squares: row 1: 1; row 2: 0; row 3: 1; row 4: 0; row 5: 1",
    )
    question, text = write_lesson(ShapeProblem("what", (), (1, 1), GRID, looks=0))
    assert question == "Describe the picture."
    assert text.startswith("row 1: red circle, nothing, blue square, red circle, nothing; row 2: nothing, ")


def test_splits_never_overlap_and_seeds_repeat():
    keys = {split: {p.key for p in generate_shapes(split, 100)} for split in ("train", "adapt", "held_out")}
    assert all(len(found) == 100 for found in keys.values())
    assert not keys["train"] & keys["adapt"] | keys["train"] & keys["held_out"] | keys["adapt"] & keys["held_out"]
    first, again, other = (generate_shapes("adapt", 5, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert [p.looks for p in first] == [p.looks for p in again]


@given(st.integers(0, 10_000), st.sampled_from([EASY, HARD]))
def test_solutions_are_read_by_the_extractor(processor, seed, difficulty):
    rng = random.Random(seed)
    problem = draw_problem(rng, difficulty)
    careful, hasty = (write_solution(problem, style, rng) for style in ("careful", "hasty"))
    answer_type = problem.answer_type or "number"
    assert response_key(careful, answer_type) == gold_key(problem.answer, answer_type)
    assert response_key(hasty, answer_type) is not None
    assert (detect_style(careful), detect_style(hasty)) == ("careful", "hasty")
    tokenizer = processor.tokenizer
    lengths = [len(tokenizer(text).input_ids) for text in (careful, hasty)]
    assert lengths[1] < 0.8 * lengths[0]
    assert max(lengths) < VQA.max_new_tokens
    assert [tokenizer.decode(tokenizer(text).input_ids) for text in (careful, hasty)] == [careful, hasty]
    assert tokenizer.unk_token_id not in tokenizer(problem.question + careful + hasty).input_ids


def test_hasty_slips_are_scattered():
    problem = ShapeProblem("count", (RED,), None, GRID, looks=0)
    rng = random.Random(0)
    answers = [response_key(write_solution(problem, "hasty", rng)) for _ in range(2000)]
    right = answers.count("6") / len(answers)
    assert right == pytest.approx(0.65**2 + 2 * 0.35**2 / 12, abs=0.05)  # no slip, or two that cancel out
    assert max(answers.count(wrong) for wrong in set(answers) - {"6"}) < 0.15 * len(answers)


def read_cell(picture, row, column):
    """What a cell shows, from its pixels alone: the colour's channel, the form by how its box is filled."""
    pixels = [[picture.getpixel((CELL * column + x, CELL * row + y)) for x in range(CELL)] for y in range(CELL)]
    inked = [(x, y) for y in range(CELL) for x in range(CELL) if min(pixels[y][x]) < min(BACKGROUND) - 80]
    if not inked:
        return None
    xs, ys = zip(*inked, strict=True)
    x, y = sorted(xs)[len(xs) // 2], sorted(ys)[len(ys) // 2]
    colour = list(COLOURS)[max(range(3), key=pixels[y][x].__getitem__)]
    share = len(inked) / ((max(xs) - min(xs) + 1) * (max(ys) - min(ys) + 1))
    sinks = (sum(ys) / len(ys) - (max(ys) + min(ys)) / 2) / (max(ys) - min(ys) + 1)  # a triangle is broad below
    return Kind(colour, "triangle" if sinks > 0.07 else "square" if share > 0.93 else "circle")


@given(st.integers(0, 10_000))
def test_pictures_show_what_the_answers_count(seed):
    problem = draw_problem(random.Random(seed), HARD)
    (picture,) = problem.images
    assert picture.size == (CELL * SIZE, CELL * SIZE)
    assert tuple(tuple(read_cell(picture, r, c) for c in range(SIZE)) for r in range(SIZE)) == problem.grid


def test_no_two_pictures_look_the_same():
    pictures = {draw_grid(GRID, looks).tobytes() for looks in range(50)}
    assert len(pictures) == 50
    assert draw_grid(GRID, 1).tobytes() == draw_grid(GRID, 1).tobytes()
    assert len(KINDS) == 9


def test_adaptation_problems_are_more_crowded():
    def count_shapes(difficulty):
        rng = random.Random(0)
        grids = [draw_problem(rng, difficulty).grid for _ in range(200)]
        return sum(cell is not None for grid in grids for row in grid for cell in row) / 200

    assert count_shapes(HARD) > 1.8 * count_shapes(EASY)


def test_the_maker_encodes_as_the_processor_does(processor):
    example = draw_example(processor, Stage(Recipe(1), lesson_share=0.0), random.Random(3))
    rng = random.Random(3)
    rng.random()  # whether it is a lesson
    problem = draw_training_problem(rng, EASY)
    prompts = prepare_visual_prompts(processor, to_problem_set("x", [problem]).problems, PromptStyle())
    inputs = encode_visual_prompts(processor, prompts)
    assert inputs["input_ids"][0].tolist() == example.ids[: example.prompt_length]
    assert torch.allclose(inputs["pixel_values"], encode_images(processor, [example.image]), atol=1e-6)
    assert find_split(problem.key) == "train"


def test_maker_learns(capsys):
    short = Recipe(steps=2, batch_size=4)
    train_visual_base(short, (Stage(short, 1.0), Stage(short, 0.5)))
    assert capsys.readouterr().out.count("step     1 ") == 3


def test_base_files_are_small_and_safe():
    assert sum(path.stat().st_size for path in VQA.base.iterdir()) <= 4_000_000
    assert {path.suffix for path in VQA.base.iterdir()} == {".json", ".safetensors", ".jinja"}


def test_base_has_the_quality_that_its_maker_asserts():
    quality = measure_quality(VQA, *VQA.load_base())
    check_quality(quality)
    recorded = json.loads((VQA.base / "quality.json").read_text())["adaptation_problems"]
    assert quality["greedy_pass@1"] == pytest.approx(recorded["greedy_pass@1"], abs=0.05)


def test_demo_runs_on_pictures(tmp_path):
    settings = DemoSettings(VQA, tmp_path / "demo", seed=1, steps=1, methods=("ttrl", "spine"), learning_rate=1e-4)
    run_demo(settings)
    summary = json.loads((settings.out / "summary.json").read_text())
    assert summary["task"] == "vqa"
    assert summary["methods"]["ttrl"]["before"] == summary["methods"]["spine"]["before"]
    assert summary["methods"]["spine"]["before"]["response_length_p90"] > 0
    assert (settings.out / "curves.png").stat().st_size > 10_000


@pytest.mark.slow
def test_spine_raises_the_visual_models_accuracy():
    problems = VQA.make_problems("adapt", 32)
    run = adapt_lab(
        VQA,
        "spine",
        problems,
        learning_rate=2e-4,
        steps=24,
        seed=0,
        evaluate_every=24,
    )
    before, after = (row["adapt"]["greedy_pass@1"] for row in (run.curve[0], run.curve[-1]))
    assert after >= before + 0.1
