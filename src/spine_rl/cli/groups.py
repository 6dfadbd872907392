"""Options that several commands have, each declared once: the same name for the same thing everywhere.

Where a command's own default differs, its group is a variant of the one here.
"""

from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from spine_rl.answers import ANSWER_TYPES
from spine_rl.options import option, read_mapping
from spine_rl.options.declare import MAX_SEED
from spine_rl.runs.whole_file import write_whole

ENGINES = ("transformers", "continuous", "vllm")
DTYPES = ("auto", "float32", "bfloat16", "float16")
if TYPE_CHECKING:
    from spine_rl.engine.samplers import Decoding

_AS_IN_RUN = " (default: that of the run whose folder is given, else 1)"
_ORDER = ("Model", "Problems", "Prompts", "Responses", "Method", "Training", "Options")


def group(title: str) -> Parameter:
    """Flat names, under a title in the help; what every command has stands last."""
    return Parameter(name="*", group=Group(title, sort_key=_ORDER.index(title) if title in _ORDER else -1))


def answer_type(default: str | None = "auto", otherwise: str = "") -> Any:
    text = f"Way in which answers are read and compared where a problem does not say (docs/answers.md){otherwise}."
    return option(default, text, choices=("auto", *ANSWER_TYPES))


def dtype(default: str) -> Any:
    return option(default, "Type that the weights are loaded in; auto takes the model's own.", choices=DTYPES)


def temperature(default: float | None, otherwise: str = "") -> Any:
    return option(default, f"Temperature that responses are sampled at{otherwise}.", above=0)


def top_p(default: float | None, otherwise: str = "") -> Any:
    text = f"Smallest probability mass of tokens that sampling draws from{otherwise}."
    return option(default, text, above=0, at_most=1)


def seed(default: int = 0) -> Any:
    return option(default, "Seed of sampling.", at_least=0, at_most=MAX_SEED)


def max_completion_length(otherwise: str) -> Any:
    text = f"Tokens of the longest response (default: those of the run whose folder is given, else {otherwise})."
    return option(None, text, at_least=1)


@group("Options")
@dataclass(frozen=True, kw_only=True)
class Config:
    """Where options may stand beside the command line."""

    config: Path | None = option(None, "YAML file of these options; the command line wins over it.")


@group("Options")
@dataclass(frozen=True, kw_only=True)
class Overwrite(Config):
    """Options of a command that writes files."""

    overwrite: bool = option(False, "Replace what an earlier command wrote there.")


@group("Options")
@dataclass(frozen=True, kw_only=True)
class JsonOutput(Overwrite):
    """Options of a command whose figures can be had as JSON."""

    json: Path | None = option(None, "File for the figures as JSON.")

    def write_json(self, figures: dict[str, Any]) -> None:
        """Writes the file, if one was asked for."""
        if self.json is not None:
            write_whole(self.json, dumps(figures, indent=2) + "\n", replace=self.overwrite)


@group("Problems")
@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where in the data problems stand."""

    split: str | None = option(None, "Split of a hub data set (default: train).")
    prompt_column: str | None = option(None, "Column of the prompt, text or chat messages.")
    id_column: str | None = option(None, "Column of the problem's id.")
    allow_image_urls: bool = option(False, "Download images that the data names by URL.")


@dataclass(frozen=True, kw_only=True)
class _Data:
    data: str = option(
        help="Problems: a .jsonl, .json, .csv or .parquet file, a benchmark's name, or a data set of the hub."
    )


@group("Problems")
@dataclass(frozen=True, kw_only=True)
class Problems(Columns, _Data):
    """Which problems, and in which columns they stand; the data come first, as `spine solve` has them."""

    limit: int | None = option(None, "Number of problems to take, the first ones.", at_least=1)

    @property
    def columns(self) -> dict[str, Any]:
        """Arguments of `load_problems` beside the source."""
        names = ("split", "prompt_column", "id_column", "limit", "allow_image_urls")
        return {name: getattr(self, name) for name in names}


@group("Problems")
@dataclass(frozen=True, kw_only=True)
class FewProblems(Problems):
    """Some problems, for a first look."""

    limit: int | None = option(16, "Number of problems to take, the first ones.", at_least=1)


@group("Prompts")
@dataclass(frozen=True, kw_only=True)
class Prompts:
    """How problems are put to the model; by default as in the run whose folder is given."""

    system_prompt: str | None = option(None, "Text before every problem, as the system's message.")
    prompt_suffix: str | None = option(None, "Text after every problem.")
    max_image_pixels: int | None = option(
        None, "Size, in pixels, that larger images are scaled down to, keeping their aspect.", at_least=1
    )
    chat_template_kwargs: str | None = option(
        None, 'Arguments of the model\'s chat template, as JSON, such as {"enable_thinking": false}.'
    )

    @property
    def given(self) -> dict[str, Any]:
        """What was given, by name; None was not.

        Raises:
            ConfigError: The template's arguments are no mapping.
        """
        return asdict(self) | {"chat_template_kwargs": read_mapping("chat_template_kwargs", self.chat_template_kwargs)}


@group("Responses")
@dataclass(frozen=True, kw_only=True)
class EvaluationSampling:
    """How an evaluation's responses are drawn; one more a problem is greedy."""

    num_generations: int = option(8, "Responses that are sampled per problem: k of mean@k and maj@k.", at_least=1)
    max_completion_length: int | None = max_completion_length("1,024")
    temperature: float = temperature(0.6)
    top_p: float = top_p(0.95)
    batch_size: int | None = option(
        None, "Responses at once (default: 64; 256 with continuous, 1,024 with vllm).", at_least=1
    )
    seed: int = seed()
    engine: str = option("transformers", "Engine that generates.", choices=ENGINES)

    def make_decoding(self, max_completion_length: int, ends: list[int]) -> "Decoding":
        """How the samples are drawn, with the length that was settled on, and the tokens that end one in a run."""
        from spine_rl.engine.samplers import Decoding, pick_batch_size

        batch_size = pick_batch_size(self.engine, self.batch_size)
        more = {"eos_token_id": ends} if ends else {}
        return Decoding(max_completion_length, self.temperature, self.top_p, batch_size, self.seed, more)


@group("Responses")
@dataclass(frozen=True, kw_only=True)
class Round:
    """How one round of responses is drawn, as training draws it."""

    num_generations: int = option(8, "Responses per problem.", at_least=2)
    max_completion_length: int | None = max_completion_length("512")
    temperature: float | None = temperature(None, _AS_IN_RUN)
    top_p: float | None = top_p(None, _AS_IN_RUN)
    batch_size: int = option(64, "Responses at once.", at_least=1)
    seed: int = seed()
    answer_type: str | None = answer_type(None, _AS_IN_RUN.replace("1", "auto"))


CompletionsFile = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,
        help="Completions: a .jsonl file of rows with id and completion(s), or - for standard input.",
    ),
]
