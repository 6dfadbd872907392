"""From an experiment's YAML file to its model: whatever is wrong is one line with file, key, value and rule.

A field's description is its rule, in the words that follow "must be".
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.options import YamlFile

Name = Annotated[str, BeforeValidator(str)]
Text = Annotated[str, Field(pattern=r"\S", description="text")]
Prose = Annotated[str, AfterValidator(lambda text: " ".join(text.split())), Field(description="text")]
Count = Annotated[int, Field(strict=True, ge=1, description="a whole number, at least 1")]
Fields = Annotated[dict[Name, Any], Field(description="a mapping: field → value")]
Values = Annotated[list[Any], Field(min_length=1)]
Axes = Annotated[dict[Name, Values], Field(description="a mapping: field → list of values")]
Arms = Annotated[dict[Name, dict[Name, Any]], Field(min_length=1, description="a mapping: name → fields")]
Quick = Annotated[dict[Name, Any], Field(description="a mapping of what the quick form replaces")]


class Spec(BaseModel):
    """A file, or a part of one: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AnySpec = TypeVar("AnySpec", bound=Spec)


def build_spec(file: YamlFile, model: type[AnySpec], *, quick: bool = False) -> AnySpec:
    """The model of a file's content, under the file's name; with `quick` its quick form, after the whole is checked.

    Raises:
        ConfigError: A key or value that cannot be; with its line.
    """
    spec = _validate(file, file.content, model)
    return _validate(file, _replace_quick(file), model) if quick else spec


def _validate(file: YamlFile, content: Mapping[str, Any], model: type[AnySpec]) -> AnySpec:
    if "name" in content:
        raise ConfigError(f"{file.locate('name')}: unknown key 'name'; an experiment has its file's")
    try:
        return model.model_validate({"name": file.path.stem, **content})
    except ValidationError as error:
        key, message = _describe(error, content, model)
        raise ConfigError(f"{file.locate(key)}: {message}") from None


def _replace_quick(file: YamlFile) -> dict[str, Any]:
    """`quick` replaces keys; its `arms` may be a list of names, and only pairs of these are compared then."""
    content = file.content
    quick = dict(content.get("quick", {}))
    if not quick:
        raise ConfigError(f"{file.path}: it has no quick form; add a mapping `quick`, or run it without --quick")
    arms, pairs = content["arms"], content.get("compare", [])
    if isinstance(quick.get("arms"), list):
        unknown = [name for name in quick["arms"] if name not in arms]
        if unknown:
            near = suggest_nearest(str(unknown[0]), map(str, arms))
            raise ConfigError(f"{file.locate('quick')}: quick.arms: unknown arm {unknown[0]!r}; {near}")
        quick["arms"] = {name: arms[name] for name in quick["arms"]}
        pairs = [pair for pair in pairs if all(arm in quick["arms"] for arm in pair)]
    kept = {name: value for name, value in content.items() if name not in ("quick", "compare")}
    return {**kept, **({"compare": pairs} if pairs else {}), **quick}


# ---- pydantic's errors, in one line


def _describe(error: ValidationError, content: Mapping[str, Any], model: type[Spec]) -> tuple[str, str]:
    """The key and what is wrong with it; an unknown key goes first, as the one that it should be is then missing."""
    first = min(error.errors(), key=lambda each: each["type"] not in _UNKNOWN)
    kind, place = first["type"], [*first["loc"]]
    key = str(place[0]) if place else ""
    if not place or (kind == "value_error" and len(place) > 1):
        return key, str(first.get("ctx", {}).get("error"))  # a rule of several keys
    part = _find_part(model, place)
    names, where = (_list_rules(model), "") if part is None else (_list_rules(part), f"{key}: ")
    name = key if part is None else str(place[-1])
    if kind in _UNKNOWN:
        return key, f"{where}unknown key {name!r}; {suggest_nearest(name, names.keys() - {'name'})}"
    rule = names.get(name) or f"must be {first['msg'].removeprefix('Input should be ')}"
    if kind in _MISSING and (part is not None or len(place) == 1):
        return key, f"{where}{name} is missing; it {rule}"
    return key, f"{where}{name}={(content[name] if part is None else first['input'])!r}: {rule}"


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_argument")


def _find_part(model: type[Spec], place: Sequence[int | str]) -> Any:
    """The class of the part that an error is in; None where it is a key of the file itself."""
    field = model.model_fields.get(str(place[0]))
    if field is None or len(place) == 1 or isinstance(place[-1], int):
        return None
    classes = (field.annotation, *get_args(field.annotation))
    return next((each for each in classes if dataclasses.is_dataclass(each) or hasattr(each, "model_fields")), None)


def _list_rules(part: Any) -> dict[str, str]:
    """Key → its rule, as a sentence's end; empty where it has none."""
    if dataclasses.is_dataclass(part):
        return {field.name: "" for field in dataclasses.fields(part)}
    fields = part.model_fields
    return {name: f"must be {field.description}" if field.description else "" for name, field in fields.items()}
