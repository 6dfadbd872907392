"""Coloured shapes: the lab's visual task family.

A picture is a grid of 5 x 5 cells, each empty or with one shape. Questions: how many there are of one kind; of two
kinds together; how many more of one than of the other; whether there are more of one; which row has the most; what is
in a cell. They can be worked in two styles:

- careful: row by row with a running total, no slips;
- hasty: two or three rows at one glance, and a slip in 35 % of the glances. Slips are scattered, so hasty responses
  rarely agree on a wrong answer: the vote of many samples knows more than one sample says.

The question stands before the picture, so that a causal model knows what to look for when it sees it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from spine_rl.lab.families.drawing import COLOURS, FORMS, KINDS, Grid, Kind, draw_grid
from spine_rl.lab.families.family import (
    SLIP_PROBABILITY,
    STEP_SEPARATOR,
    Split,
    Style,
    draw_distinct,
    join_solution,
)

SIZE = 5  # rows, and cells in a row
SLIPS = (-3, -2, -1, 1, 2, 3)
GLANCES = ((2, 3), (3, 2))  # rows that are merged in a hasty solution

Asks = Literal["count", "together", "difference", "more", "most", "what"]
NUM_KINDS: dict[Asks, int] = {"count": 1, "together": 2, "difference": 2, "more": 2, "most": 1, "what": 0}
_ANSWER_TYPES: dict[Asks, str] = {"more": "yes_no", "what": "text"}


@dataclass(frozen=True)
class Difficulty:
    """What pictures and questions are like.

    Attributes:
        asks: Question → how often it is asked, relative to the others.
        row_weights: How often 1, 2, ... 5 rows hold shapes; the others are empty.
        fill: Least and largest share of cells with a shape, in rows that hold any.
        asked_share: Least and largest share of shapes that are of a kind asked about; the rest is clutter.
        clutter_kinds: Least and largest number of kinds of the clutter.
    """

    asks: Mapping[Asks, float]
    row_weights: tuple[float, ...]
    fill: tuple[float, float]
    asked_share: tuple[float, float]
    clutter_kinds: tuple[int, int]


LESSON = Difficulty(  # for `write_lesson`: from empty to crowded
    asks={"count": 0.6, "what": 0.4},
    row_weights=(0, 0, 0, 0, 1),
    fill=(0.03, 1.0),
    asked_share=(0.0, 1.0),
    clutter_kinds=(1, 4),
)
EASY = Difficulty(  # few rows with shapes
    asks={"count": 0.45, "together": 0.15, "difference": 0.1, "more": 0.1, "most": 0.15, "what": 0.05},
    row_weights=(0.2, 0.35, 0.25, 0.13, 0.07),
    fill=(0.2, 1.0),
    asked_share=(0.3, 1.0),
    clutter_kinds=(1, 4),
)
HARD = Difficulty(  # every row is crowded
    asks={"count": 0.6, "together": 0.2, "difference": 0.1, "more": 0.05, "most": 0.05},
    row_weights=(0, 0, 0, 0, 1),
    fill=(0.7, 1.0),
    asked_share=(0.4, 0.7),
    clutter_kinds=(3, 6),
)


@dataclass(frozen=True)
class ShapeProblem:
    """A question about a picture.

    Attributes:
        asks: The question.
        kinds: What it is about; none where it asks what is in a cell.
        cell: Row and column, from 1, where it asks what is in a cell.
        grid: What the picture shows.
        looks: Seed of how it shows it.
    """

    asks: Asks
    kinds: tuple[Kind, ...]
    cell: tuple[int, int] | None
    grid: Grid
    looks: int = field(compare=False)
    options: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        names = [kind.plural for kind in self.kinds]
        match self.asks:
            case "count":
                return f"How many {names[0]}?"
            case "together":
                return f"How many {names[0]} and {names[1]} together?"
            case "difference":
                return f"How many more {names[0]} than {names[1]}?"
            case "more":
                return f"Are there more {names[0]} than {names[1]}?"
            case "most":
                return f"Which row has the most {names[0]}?"
        return f"What is in row {self.row}, column {self.column}?"

    @property
    def prompt(self) -> str:
        return f"{self.question} <image>"

    @property
    def key(self) -> str:
        """The question and what the picture shows, however it looks."""
        return f"{self.question} " + "/".join(",".join(map(name_cell, row)) for row in self.grid)

    @property
    def images(self) -> tuple[Any, ...]:
        return (draw_grid(self.grid, self.looks),)

    @property
    def answer_type(self) -> str | None:
        return _ANSWER_TYPES.get(self.asks)

    @property
    def answer(self) -> str:
        if self.asks == "what":
            return name_cell(self.grid[self.row - 1][self.column - 1])
        per_row = [self.count_rows(kind) for kind in self.kinds]
        if self.asks == "most":
            return str(per_row[0].index(max(per_row[0])) + 1)
        return _combine(self.asks, [sum(counts) for counts in per_row])[1]

    @property
    def row(self) -> int:
        assert self.cell is not None
        return self.cell[0]

    @property
    def column(self) -> int:
        assert self.cell is not None
        return self.cell[1]

    def count_rows(self, kind: Kind) -> list[int]:
        """Shapes of one kind in each row."""
        return [row.count(kind) for row in self.grid]


def name_cell(kind: Kind | None) -> str:
    return "nothing" if kind is None else str(kind)


def _combine(asks: Asks, totals: list[int]) -> tuple[str | None, str]:
    """The last line of a solution, where there is one, and the answer."""
    if asks == "count":
        return None, str(totals[0])
    first, second = totals
    if asks == "together":
        return f"{first}+{second}={first + second}", str(first + second)
    if asks == "difference":
        return f"{first}-{second}={first - second}", str(first - second)
    sign = ">" if first > second else "<" if first < second else "="
    return f"{first}{sign}{second}", "yes" if first > second else "no"


# ---- drawing problems


def generate_shapes(split: Split, num_problems: int, *, seed: int = 0) -> list[ShapeProblem]:
    """Draws distinct hard problems of one split.

    Args:
        split: The split they belong to; problems of different splits never coincide.
        num_problems: How many.
        seed: Same arguments, same problems.
    """
    rng = random.Random(f"{split}/{seed}")
    return draw_distinct(lambda rng: draw_problem(rng, HARD), split, num_problems, rng)


def draw_problem(rng: random.Random, difficulty: Difficulty) -> ShapeProblem:
    """Draws one problem of any split."""
    asks = rng.choices(list(difficulty.asks), list(difficulty.asks.values()))[0]
    while True:
        kinds = tuple(rng.sample(KINDS, NUM_KINDS[asks]))
        grid = _draw_cells(rng, kinds, difficulty)
        cell = _draw_place(rng, grid) if asks == "what" else None
        problem = ShapeProblem(asks, kinds, cell, grid, rng.getrandbits(32))
        if _is_sound(problem):
            return problem


def _draw_cells(rng: random.Random, kinds: tuple[Kind, ...], difficulty: Difficulty) -> Grid:
    num_rows = rng.choices(range(1, SIZE + 1), difficulty.row_weights)[0]
    occupied = set(rng.sample(range(SIZE), num_rows))
    others = [kind for kind in KINDS if kind not in kinds]
    clutter = rng.sample(others, rng.randint(*difficulty.clutter_kinds))
    asked_share = rng.uniform(*difficulty.asked_share) if kinds else 0.0

    fill = rng.uniform(*difficulty.fill)

    def draw_row(row: int) -> tuple[Kind | None, ...]:
        return tuple(
            rng.choice(kinds if rng.random() < asked_share else clutter)
            if row in occupied and rng.random() < fill
            else None
            for _ in range(SIZE)
        )

    return tuple(draw_row(row) for row in range(SIZE))


def _draw_place(rng: random.Random, grid: Grid) -> tuple[int, int]:
    """Row and column of a cell, more often of one with a shape."""
    places = [(row, column) for row in range(SIZE) for column in range(SIZE)]
    shapes = [(row, column) for row, column in places if grid[row][column] is not None]
    row, column = rng.choice(shapes if shapes and rng.random() < 0.5 else places)
    return row + 1, column + 1


def _is_sound(problem: ShapeProblem) -> bool:
    """One row has the most, where it is asked for; a difference is not negative."""
    per_row = [problem.count_rows(kind) for kind in problem.kinds]
    if problem.asks == "most":
        return per_row[0].count(max(per_row[0])) == 1
    return problem.asks != "difference" or sum(per_row[0]) >= sum(per_row[1])


# ---- working them


def write_lesson(problem: ShapeProblem) -> tuple[str, str]:
    """What teaches to see, in neither style: the whole picture described, or its kinds counted in every row."""
    if not problem.kinds:
        return "Describe the picture.", _list_rows([", ".join(map(name_cell, row)) for row in problem.grid])
    counted = [_list_rows(problem.count_rows(kind)) for kind in problem.kinds]
    question = f"How many {' and '.join(kind.plural for kind in problem.kinds)} in each row?"
    if len(counted) > 1:
        counted = [f"{kind.plural}: {text}" for kind, text in zip(problem.kinds, counted, strict=True)]
    return question, STEP_SEPARATOR.join(counted)


def _list_rows(entries: Sequence[object]) -> str:
    return STEP_SEPARATOR.join(f"row {row}: {entry}" for row, entry in enumerate(entries, start=1))


def write_solution(problem: ShapeProblem, style: Style, rng: random.Random) -> str:
    """Works the problem in one style, as the base model is taught to; a hasty solution may be wrong."""
    work = {"what": _work_what, "most": _work_most}.get(problem.asks, _work_counts)
    lines, answer = work(problem, style, rng)
    return join_solution(style, lines, answer)


def _work_what(problem: ShapeProblem, style: Style, rng: random.Random) -> tuple[list[str], str]:
    if style == "hasty":
        return [], name_cell(rng.choice(KINDS)) if _slips(rng) else problem.answer
    cells = problem.grid[problem.row - 1][: problem.column]
    return [f"row {problem.row}: " + ", ".join(map(name_cell, cells))], problem.answer


def _work_most(problem: ShapeProblem, style: Style, rng: random.Random) -> tuple[list[str], str]:
    counts = problem.count_rows(problem.kinds[0])
    if style == "careful":
        return [f"row {row}: {count}" for row, count in enumerate(counts, start=1)], problem.answer
    lines, found = [], []
    for first, last in _glance(rng):
        rows = range(first, last + 1)
        best = rng.choice(rows) if _slips(rng) else max(rows, key=lambda row: counts[row - 1])
        lines.append(f"rows {first}-{last}: most in {best}")
        found.append(best)
    return lines, str(max(found, key=lambda row: counts[row - 1]))


def _work_counts(problem: ShapeProblem, style: Style, rng: random.Random) -> tuple[list[str], str]:
    lines, totals = [], []
    for kind in problem.kinds:
        counts = problem.count_rows(kind)
        if style == "careful":
            parts = [(f"row {row}", count) for row, count in enumerate(counts, start=1)]
        else:
            parts = [
                (f"rows {first}-{last}", _misread(sum(counts[first - 1 : last]), rng)) for first, last in _glance(rng)
            ]
        worked, total = _add_up(parts)
        if len(problem.kinds) > 1:
            worked[0] = f"{kind.plural}: {worked[0]}"
        lines += worked
        totals.append(total)
    last_line, answer = _combine(problem.asks, totals)
    return [*lines, *([] if last_line is None else [last_line])], answer


def _add_up(parts: list[tuple[str, int]]) -> tuple[list[str], int]:
    """Lines with a running total from the second on, and the total."""
    lines, total = [], 0
    for number, (place, count) in enumerate(parts):
        total += count
        lines.append(f"{place}: +{count}={total}" if number > 0 else f"{place}: {count}")
    return lines, total


def _glance(rng: random.Random) -> list[tuple[int, int]]:
    """First and last rows of what a hasty solution takes in at once."""
    first, spans = 1, []
    for rows in rng.choice(GLANCES):
        spans.append((first, first + rows - 1))
        first += rows
    return spans


def _misread(count: int, rng: random.Random) -> int:
    return max(0, count + rng.choice(SLIPS)) if _slips(rng) else count


def _slips(rng: random.Random) -> bool:
    return rng.random() < SLIP_PROBABILITY


def list_phrases() -> list[str]:
    """What a tokenizer may take as one token each: the words of questions and solutions."""
    spans = [(1, 2), (3, 5), (1, 3), (4, 5)]
    places = [f"row {row}: " for row in range(1, SIZE + 1)] + [f"rows {first}-{last}: " for first, last in spans]
    questions = ["How many ", "How many more ", "Are there more ", "Which row has the most ", "What is in row "]
    words = [
        " than ",
        " and ",
        " together",
        " in each row",
        "Describe the picture.",
        ", column ",
        "most in ",
        ": ",
        ", ",
        "nothing",
        "yes",
        "no",
    ]
    forms = [f" {form}" for form in FORMS]  # of a plural the ending is a token of its own
    answers = ["nothing", "yes", "no", ": ", ", "]
    return [*questions, *words, *answers, *COLOURS, *forms, *places, *(STEP_SEPARATOR + place for place in places)]
