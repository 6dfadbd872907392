"""Stories and multiple choice: answers, options, styles and splits."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_rl.answers import response_key
from spine_rl.lab.families.arithmetic import Chain, generate_chains
from spine_rl.lab.families.choice import Choice, draw_choice, generate_choices
from spine_rl.lab.families.choice import write_solution as write_choice_solution
from spine_rl.lab.families.family import detect_style
from spine_rl.lab.families.words import draw_story, generate_stories
from spine_rl.lab.families.words import write_solution as write_story_solution

seeds, lengths = st.integers(0, 10_000), st.integers(1, 9)
SPLITS = ("train", "adapt", "held_out")


def read_expression(prompt):
    """The chain that any prompt of the lab asks for, read by patterns that are not the families' own."""
    if " has " not in prompt:
        return re.search(r": (\S+)", prompt)[1]
    opening, *sentences, question = prompt.split(". ")
    assert re.fullmatch(r"How many does s?he have\?", question)
    expression = re.fullmatch(r"[A-Z][a-z]+ has (\d+) [a-z]+", opening)[1]
    for sentence in sentences:
        number = re.search(r"\d+|doubles|triples", sentence)[0]
        operators = {
            "*": "times as many|doubles|triples",
            "+": "buys|finds|wins|is given",
            "-": "sells|loses|breaks|gives away",
        }
        (operator,) = [name for name, verbs in operators.items() if re.search(verbs, sentence)]
        expression += operator + {"doubles": "2", "triples": "3"}.get(number, number)
    return expression


def calculate(expression):
    """All values on the way, from left to right."""
    start, *steps = re.findall(r"[-+*]?\d+", expression)
    values = [int(start)]
    for step in steps:
        value, number = values[-1], int(step[1:])
        values.append({"+": value + number, "-": value - number, "*": value * number}[step[0]])
    return values


@given(seeds, lengths)
def test_stories_say_what_their_answer_is(seed, num_operations):
    story = draw_story(random.Random(seed), num_operations)
    values = calculate(read_expression(story.prompt))
    assert len(values) == num_operations + 1
    assert min(values) >= 0
    assert story.answer == str(values[-1])
    assert story.key == read_expression(story.prompt)


@given(seeds, lengths)
def test_one_option_is_right_and_the_others_are_slips(seed, num_operations):
    choice = draw_choice(random.Random(seed), num_operations)
    answer = calculate(read_expression(choice.prompt))[-1]
    options = choice.prompt.split("\n")[1:]
    assert [re.fullmatch(r"\([ABCD]\) (-?\d+)", option)[1] for option in options] == list(choice.options)
    right = [letter for letter, option in zip("ABCD", choice.options, strict=True) if int(option) == answer]
    assert right == [choice.answer]
    assert len(set(choice.options)) == 4
    assert (choice.answer_type, choice.images) == ("choice", ())


@given(seeds, lengths, st.sampled_from([(draw_story, write_story_solution), (draw_choice, write_choice_solution)]))
def test_solutions_are_read_by_the_extractor(seed, num_operations, family):
    draw, write = family
    rng = random.Random(seed)
    problem = draw(rng, num_operations)
    kind = problem.answer_type or "math"
    careful, hasty = write(problem, "careful", rng), write(problem, "hasty", rng)
    assert response_key(careful, kind, problem.options) == problem.answer
    assert response_key(hasty, kind, problem.options) is not None
    assert (detect_style(careful), detect_style(hasty)) == ("careful", "hasty")
    assert len(hasty) < len(careful) or num_operations == 1
    checks = 1 + "ABCD".index(problem.answer) if problem.options else 0
    assert careful.count("=") == num_operations + checks


def test_careful_choices_compare_option_by_option():
    chain = Chain(4, (("*", 2), ("-", 11)))
    choice = Choice(chain, ("7", "-4", "-3", "-13"))
    careful = write_choice_solution(choice, "careful", random.Random(0))
    assert careful == r"Step by step: 4*2=8; 8-11=-3; (A) 7+3=10; (B) -4+3=-1; (C) -3+3=0; \boxed{C}"
    positive = Choice(Chain(4, (("*", 2),)), ("9", "8", "10", "6"))
    assert r"4*2=8; (A) 9-8=1; (B) 8-8=0; \boxed{B}" in write_choice_solution(positive, "careful", random.Random(0))


def test_hasty_choices_are_sometimes_wrong_and_wrong_letters_scatter():
    rng = random.Random(0)
    choice = draw_choice(rng, 7)
    letters = [write_choice_solution(choice, "hasty", rng)[-2] for _ in range(400)]
    shares = {letter: letters.count(letter) / 400 for letter in "ABCD"}
    assert max(shares, key=shares.__getitem__) == choice.answer
    assert all(0.05 < share < 0.3 for letter, share in shares.items() if letter != choice.answer)


@pytest.mark.parametrize("generate", [generate_stories, generate_choices])
def test_splits_never_overlap_even_across_families(generate):
    keys = {split: {each.key for each in generate(split, 300, num_operations=2)} for split in SPLITS}
    chains = {split: {chain.key for chain in generate_chains(split, 300, num_operations=2)} for split in SPLITS}
    for split in SPLITS:
        assert len(keys[split]) == 300
        for other in set(SPLITS) - {split}:
            assert not keys[split] & keys[other]
            assert not keys[split] & chains[other]
    assert generate("adapt", 5, num_operations=3, seed=1) == generate("adapt", 5, num_operations=3, seed=1)
    assert generate("adapt", 5, num_operations=3, seed=1) != generate("adapt", 5, num_operations=3, seed=2)
