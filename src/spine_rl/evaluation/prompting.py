"""How problems are put to a model: as in the run that adapted it, unless told otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spine_rl.engine.sampler import list_given_ends
from spine_rl.engine.say import say
from spine_rl.errors import ConfigError
from spine_rl.problems import PromptStyle
from spine_rl.runs.run_file import RUN_FILE, read_resolved

# Field → the group and the name of what a run resolved it to.
_FIELDS: Mapping[str, tuple[str, str]] = {
    "system_prompt": ("run", "system_prompt"),
    "prompt_suffix": ("run", "prompt_suffix"),
    "max_completion_length": ("training", "max_completion_length"),
    "max_image_pixels": ("run", "max_image_pixels"),
    "chat_template_kwargs": ("training", "chat_template_kwargs"),
}


@dataclass(frozen=True)
class Prompting:
    """What a model is given beside the problem, and how long it may answer.

    Attributes:
        system_prompt: Put before every problem.
        prompt_suffix: Put after every problem.
        max_completion_length: Tokens of the longest response.
        max_image_pixels: Larger images are scaled down to so many.
        chat_template_kwargs: Given to the model's chat template.
    """

    system_prompt: str | None
    prompt_suffix: str
    max_completion_length: int
    max_image_pixels: int | None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def style(self) -> PromptStyle:
        return PromptStyle(self.system_prompt, self.prompt_suffix, self.chat_template_kwargs)


@dataclass(frozen=True)
class Settled:
    """How models are asked, and where it comes from.

    Attributes:
        prompting: What every model is asked with.
        run: The first model that a run made; None where there is none.
        taken: The fields that come from the run, with their values.
    """

    prompting: Prompting
    run: str | None
    taken: Mapping[str, Any]


def settle_prompting(given: Mapping[str, Any], *models: str, max_completion_length: int = 1024) -> Settled:
    """Fills what was not given from the models' runs: all of them are asked the same.

    Args:
        given: Fields of `Prompting`; None, or left out, was not given. An empty system prompt is none.
        models: Folders, of runs or not, and hub ids. A run's `last` and `checkpoint-N` count as the run.
        max_completion_length: Where neither says.

    Raises:
        ConfigError: Runs differ in a field that was not given, or a run does not say it.
    """
    runs = {model: resolved for model in models if (resolved := read_resolved(model)) is not None}
    missing = [name for name in _FIELDS if given.get(name) is None]
    taken = {name: _agree({model: _look_up(model, runs[model], name) for model in runs}, name) for name in missing}
    taken = {name: value for name, value in taken.items() if value is not None}
    values: dict[str, Any] = {"system_prompt": None, "prompt_suffix": "", "max_image_pixels": None}
    values |= {"max_completion_length": max_completion_length}
    values |= {name: given[name] for name in _FIELDS if name not in missing} | taken
    values["system_prompt"] = values["system_prompt"] or None
    return Settled(Prompting(**values), next(iter(runs), None), taken)


def ask(given: Mapping[str, Any], *models: str, **defaults: Any) -> Prompting:
    """How the models are asked (`settle_prompting`), and a line about what comes from a run."""
    settled = settle_prompting(given, *models, **defaults)
    if settled.taken:
        taken = ", ".join(f"{name} {value!r}" for name, value in settled.taken.items())
        line = f"asked as in the run {settled.run}, where no option says otherwise: {taken}"
        say(line)
    return settled.prompting


def list_run_ends(*models: str) -> list[int]:
    """Tokens that end a response in the models' runs, beside the models' own, for all of them; and a line about it."""
    runs = [(read_resolved(model) or {}).get("training", {}) for model in models]
    ends = [*dict.fromkeys(end for run in runs for end in list_given_ends(run.get("generation_kwargs") or {}))]
    if ends:
        say(f"responses also end at the tokens {ends}, as in the run")
    return ends


def _look_up(model: str, resolved: Mapping[str, Any], name: str) -> Any:
    group, field = _FIELDS[name]
    if field not in resolved.get(group, {}) and name != "chat_template_kwargs":  # a run without it gave none
        raise ConfigError(f"{RUN_FILE} of {model} does not say the run's {field}; give {_option(name)}")
    return resolved.get(group, {}).get(field)


def _agree(values: Mapping[str, Any], name: str) -> Any:
    """The value of all runs; None without runs."""
    model, value = next(iter(values.items()), ("", None))
    for other, another in values.items():
        if (another or None) != (value or None):
            raise ConfigError(
                f"{model} was trained with {_FIELDS[name][1]} {value!r}, {other} with {another!r}; give "
                f"{_option(name)}, which both are asked with"
            )
    return value


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
