"""Pictures of coloured shapes on a grid, one cell a patch of the vision tower; no two look quite the same."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from PIL import Image, ImageDraw

Colour = Literal["red", "green", "blue"]
Form = Literal["circle", "square", "triangle"]

COLOURS: dict[Colour, tuple[int, int, int]] = {"red": (214, 48, 40), "green": (40, 160, 60), "blue": (48, 84, 214)}
FORMS: tuple[Form, ...] = ("circle", "square", "triangle")

CELL = 12  # pixels
BACKGROUND = (245, 245, 240)
_RADII = (3.6, 4.2, 4.8)  # pixels
_OFFSETS = (-1, 0, 1)  # pixels from the centre of the cell, across and down
_SHADES = (0.85, 1.0, 1.15)
_SCALE = 8  # shapes are drawn this much larger and scaled down, for smooth edges


@dataclass(frozen=True, order=True)
class Kind:
    """What is asked about: shapes of one colour and one form."""

    colour: Colour
    form: Form

    def __str__(self) -> str:
        return f"{self.colour} {self.form}"

    @property
    def plural(self) -> str:
        return f"{self}s"


KINDS = tuple(Kind(colour, form) for colour in COLOURS for form in FORMS)

Grid = tuple[tuple[Kind | None, ...], ...]  # rows from above, cells from the left; None is an empty cell


def draw_grid(grid: Sequence[Sequence[Kind | None]], looks: int) -> Image.Image:
    """Draws every shape in its cell; sizes, places within the cell and shades vary with `looks`, a seed."""
    rng = random.Random(looks)
    picture = Image.new("RGB", (CELL * len(grid[0]), CELL * len(grid)), BACKGROUND)
    for row, cells in enumerate(grid):
        for column, kind in enumerate(cells):
            if kind is not None:
                sprite = _draw_shape(
                    kind, rng.choice(_RADII), (rng.choice(_OFFSETS), rng.choice(_OFFSETS)), rng.choice(_SHADES)
                )
                picture.paste(sprite, (CELL * column, CELL * row))
    return picture


@cache  # 9 kinds x 3 sizes x 9 places x 3 shades
def _draw_shape(kind: Kind, radius: float, offset: tuple[int, int], shade: float) -> Image.Image:
    cell = Image.new("RGB", (CELL * _SCALE, CELL * _SCALE), BACKGROUND)
    x, y = ((CELL / 2 + shift) * _SCALE for shift in offset)
    r = radius * _SCALE
    colour = tuple(min(255, round(channel * shade)) for channel in COLOURS[kind.colour])
    draw = ImageDraw.Draw(cell)
    if kind.form == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif kind.form == "square":
        draw.rectangle((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), fill=colour)
    else:
        draw.polygon([(x, y - r), (x - r, y + 0.9 * r), (x + r, y + 0.9 * r)], fill=colour)
    return cell.resize((CELL, CELL), Image.Resampling.LANCZOS)
