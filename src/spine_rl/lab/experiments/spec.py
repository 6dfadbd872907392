"""An experiment's file: YAML in, a checked `Experiment` out; whatever is wrong with it is said in one line.

docs/experiments.md has a file with every key, and `ready/` has the experiments that come with the package.
This module imports neither torch nor TRL: a file that cannot be run is refused before they are loaded.
"""

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.lab.experiments.spec_file import Arms, Axes, Count, Fields, Prose, Quick, Spec, Text
from spine_rl.problems import PromptStyle

READY = Path(__file__).parent / "ready"
PROBLEM_SETS = ("adapt", "held_out")
MOST_CELLS = 10_000  # weeks of runs; beyond it, it is a mistake

Section = Literal["arms", "curves", "lengths", "entropies", "phases", "map", "transfer", "monitor"]


class TaskRef(Spec):
    """A task of the lab by its name, or a model and data of one's own with their columns, as in `spine train`.

    `eval_data` is the held-out set of one's own task.
    """

    name: Text
    model: Text | None = None
    data: Text | None = None
    eval_data: Text | None = None
    gold_column: Text = "answer"
    prompt_column: Text | None = None
    id_column: Text | None = None
    split: Text | None = None
    limit: Count | None = None
    system_prompt: str | None = None
    prompt_suffix: str = ""
    max_image_pixels: Count | None = None
    allow_image_urls: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name in ("model", "data"):
            if self.own and getattr(self, name) is None:
                raise ValueError(f"tasks: {name} is missing from {self.name!r}; a task of your own needs one")
        return self

    @property
    def own(self) -> dict[str, Any]:
        """What was given of one's own task, without the name; empty for a task of the lab."""
        return self.model_dump(exclude_unset=True, exclude={"name"})

    @property
    def style(self) -> PromptStyle:
        """What is put around its problems."""
        return PromptStyle(self.system_prompt, self.prompt_suffix)


def _differ(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError
    return seeds


_Tasks = Annotated[tuple[TaskRef, ...], Field(min_length=1, description="a list of tasks' names, or of mappings")]
_Seeds = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=0)], ...],
    AfterValidator(_differ),
    Field(min_length=1, description="a list of different whole numbers, at least 0"),
]
_Sets = Annotated[tuple[Text, ...], Field(min_length=1, description="a list of adapt, held_out, or tasks' names")]
_Pairs = Annotated[tuple[tuple[str, str], ...], Field(description="a list of pairs of arms: [[spine, ttrl]]")]
_Sections = Annotated[tuple[Section, ...], Field(description=f"a list of {', '.join(get_args(Section))}")]


class Experiment(Spec):
    """An experiment as its file describes it (docs/experiments.md)."""

    name: str
    title: Text
    tasks: _Tasks
    arms: Arms
    steps: Count
    question: Prose = ""
    seeds: _Seeds = (0, 1, 2)
    evaluate_every: Count = 20
    evaluate_on: _Sets = PROBLEM_SETS
    num_problems: Count = 64
    num_samples: Count = 8
    fields: Fields = {}
    axes: Axes = {}
    vary: Axes = {}
    compare: _Pairs = ()
    sections: _Sections = ("curves", "monitor")
    quick: Quick = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"tasks={names!r}: two have one name; give them different ones")
        for pair in self.compare:
            for arm in pair:
                if arm not in self.arms:
                    near = suggest_nearest(arm, self.arms)
                    raise ValueError(f"compare={[*pair]!r}: there is no arm {arm!r}; {near}")
        both = self.axes.keys() & self.vary.keys()
        if both:
            raise ValueError(f"{min(both)} stands in axes and in vary; keep one")
        if "map" in self.sections and [*self.axes] != ["learning_rate"]:
            raise ValueError("sections has map, so axes must be learning_rate alone")
        if self.num_cells > MOST_CELLS:
            raise ValueError(
                f"{self.num_cells:,} cells (tasks: {len(self.tasks)}, arms at their points: {self._num_points:,}, "
                f"seeds: {len(self.seeds)}), more than {MOST_CELLS:,}; give axes fewer values, or use vary"
            )
        return self

    @property
    def num_cells(self) -> int:
        """Cells, at most: a value of `vary` that an arm has already makes none."""
        return self._num_points * len(self.tasks) * len(self.seeds)

    @property
    def _num_points(self) -> int:
        varied = 1 + sum(map(len, self.vary.values()))
        return sum(
            varied * math.prod(len(values) for name, values in self.axes.items() if name not in own)
            for own in self.arms.values()
        )


class CostOutline(Spec):
    """What a file of `kind: cost` says beside what is measured; that needs torch (`cost`)."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    title: Text
    vary: Axes = {}
    quick: Quick = {}
    steps: ClassVar[int] = 1

    @property
    def num_cells(self) -> int:
        return 1 + sum(map(len, self.vary.values()))


def list_ready() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    return {path.stem: path for path in sorted(READY.glob("*.yaml"))}


def find_file(source: str) -> Path:
    """A file's path, or that of a ready experiment by its name.

    Raises:
        ConfigError: It is neither.
    """
    if Path(source).suffix in (".yaml", ".yml"):
        return Path(source)
    ready = list_ready()
    if source not in ready:
        near = suggest_nearest(source, ready)
        raise ConfigError(f"experiment {source!r}: neither a .yaml file nor a ready one; {near}")
    return ready[source]
