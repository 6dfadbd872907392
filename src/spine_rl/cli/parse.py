"""From a command line, and the YAML file of its --config, to a command and the dataclasses of its options.

Cyclopts makes the commands from the dataclasses; what stands here is what it leaves to a program: the file, whose
values become options one by one and never pass for flags, and one line for every mistake.
"""

import functools
import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, is_dataclass
from itertools import pairwise
from os.path import expanduser
from pathlib import Path
from typing import Any, NamedTuple, get_args

from attrs import evolve
from cyclopts import App, CycloptsError, Parameter, Token
from cyclopts.argument import Argument, ArgumentCollection
from cyclopts.exceptions import CoercionError, MissingArgumentError, UnknownCommandError, UnknownOptionError
from cyclopts.help import ColumnSpec, DefaultFormatter, NameRenderer
from cyclopts.help.specs import get_default_parameter_columns

from spine_rl.errors import ConfigError, shorten, suggest_nearest
from spine_rl.options import check_options, read_truth, read_yaml
from spine_rl.training.trl_fields import ELSEWHERE, list_trl_switches

_NAME_WIDTH = 36  # of 80 columns
_PATHS = {"--data", "--model", "--output-dir", "--baseline", "--gold", "--eval-data"}  # or names, of the hub and others
_MAPPINGS = {"chat_template_kwargs"}  # options whose text is JSON, and whose value in a file a mapping
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


@dataclass(frozen=True)
class Given:
    """What was given, and where: the command line wins over the file.

    Attributes:
        names: The options that the command declares and that were given.
        rest: Options that only TRL declares, by name: the texts of the command line, or the file's value.
        where: `run.yaml, line 3`, of what the file gave.
    """

    names: set[str] = field(default_factory=set)
    rest: dict[str, Any] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)


class RunFields(NamedTuple):
    """As `takes_run_fields` says."""

    list_names: Callable[[], set[str]]
    kept: Collection[str] | None

    def keeps(self, name: str) -> bool:
        return name in (self.list_names() if self.kept is None else self.kept)


def make_app(**settings: Any) -> App:
    """An application in which dashes and underscores are alike, and the last of several values holds."""
    return App(
        default_parameter=Parameter(
            negative_iterable=(), allow_repeating=True, show_choices=False, show_default=_show_default
        ),
        help_format="plaintext",
        help_formatter=DefaultFormatter(column_specs=_list_columns),
        help_epilogue="Options may stand in a --config FILE.yaml, as lines name: value. Dashes and underscores are "
        "alike. A switch that is on is turned off by --name false, or --no-name.",
        **settings,
    )


def _list_columns(console: Any, options: Any, entries: list[Any]) -> tuple[ColumnSpec, ...]:
    """As cyclopts has them, but wide enough for the longest name, which is to be copied."""
    columns = get_default_parameter_columns(console, options, entries)
    render = NameRenderer(_NAME_WIDTH)
    wide = {"renderer": lambda entry: render(evolve(entry, negative_names=())), "max_width": _NAME_WIDTH}
    return tuple(evolve(column, **wide) if column.header == "Option" else column for column in columns)


def _show_default(value: Any) -> str | None:
    return None if value is None or value is False or value == [] else str(value)


def takes_run_fields(
    list_names: Callable[[], set[str]], *, kept: Collection[str] | None = None
) -> Callable[[Callable], Callable]:
    """Marks a command that takes the options of a run too, which it need not declare.

    Args:
        list_names: Gives their names.
        kept: Those that are handed on, by default all; others are skipped in a run's file, unknown on the command line.
    """

    def mark(command: Callable) -> Callable:
        command.run_fields = RunFields(list_names, kept)  # pyright: ignore[reportFunctionMemberAccess]
        return command

    return mark


def parse(app: App, tokens: Sequence[str]) -> "functools.partial[Any]":
    """The command that the tokens name, ready to be called with its options.

    Raises:
        ConfigError: An unknown command or option (with the nearest name), a value of the wrong type or out of its
            bounds, or a file that cannot be read.
    """
    tokens = _write_switches(app, tokens)
    reader = _Reader(tokens)
    app.config = (reader,)
    try:
        command, bound, unused, ignored = app.parse_known_args(tokens)
        reader.take_unused(unused)
    except CycloptsError as error:
        if isinstance(error, MissingArgumentError) and error.keyword is None:  # an unknown name is likelier than none
            reader.take_unused(error.unused_tokens or [])
        raise ConfigError(_explain(error, tokens)) from None
    for options in bound.arguments.values():
        if is_dataclass(options):
            check_options(options, reader.given.where)
    more = {"given": reader.given} if "given" in ignored else {}
    return functools.partial(command, *bound.args, **bound.kwargs, **more)


def is_silent(call: "functools.partial[Any]") -> bool:
    """Whether `disable_tqdm`, which TRL declares, is on in a command's options, or in the run's file that it is given.

    Raises:
        ConfigError: The file cannot be read.
    """
    runs = (run for options in call.keywords.values() if isinstance(run := getattr(options, "run", None), Path))
    given = [options.rest for options in call.keywords.values() if isinstance(options, Given)]
    given += [{_normalize(key): value for key, value in read_yaml(run).content.items()} for run in runs]
    values = (fields.get("disable_tqdm", False) for fields in given)
    return any(value == [] or read_truth(str(value[-1] if isinstance(value, list) else value)) for value in values)


class _Reader:
    """Reads the file of --config into a command's arguments, and keeps what was given."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self.given = Given()
        self._known: dict[str, Argument] = {}
        self._fields: RunFields | None = None

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Called by cyclopts once it knows the command."""
        self._fields = getattr(app.default_command, "run_fields", None)
        leaves = [argument for argument in arguments if argument.name.startswith("--")]
        self._known = {_normalize(name): argument for argument in leaves for name in argument.positives}
        words = [token.value for argument in arguments if argument not in leaves for token in argument.tokens]
        self.take_unused([word for word in words if word.startswith("--")])  # `-` is one too, but no option is
        config = self._known.get("config")
        if config is not None and config.tokens:
            _read_words(config)
            self._read(Path(config.tokens[-1].value))
        for argument in arguments:
            _check_whole(argument)
            _read_words(argument)
        self.given.names.update(_normalize(argument.name) for argument in leaves if argument.tokens)

    def take_unused(self, tokens: Sequence[str]) -> None:
        """Keeps what only TRL declares, and refuses the rest."""
        name = None
        for token in tokens:
            if token.startswith("-") and not _is_number(token):
                name, equals, value = token.partition("=")
                name = _normalize(name)
                if name.startswith("no_") and name[3:] in list_trl_switches() and not equals:
                    name, equals, value = name[3:], "=", "false"
                if not (self._fields and self._fields.keeps(name)):
                    raise ConfigError(_refuse(token, self._suggest(name)))
                self.given.rest[name] = [value] if equals else []
                self.given.where.pop(name, None)
            elif name is None:
                before = self._tokens[self._tokens.index(token) - 1]
                switch = self._known.get(_normalize(before)) if before.startswith("--") else None
                is_switch = switch is not None and switch.hint is bool
                remedy = f"{before} stands alone, or takes true or false" if is_switch else "an option begins with --"
                raise ConfigError(f"unexpected {token!r}; {remedy}")
            else:
                self.given.rest[name].append(token)

    def _read(self, path: Path) -> None:
        file = read_yaml(path)
        for key, value in file.content.items():
            name, where = _normalize(key), file.locate(key)
            if name == "config":
                raise ConfigError(f"{where}: a file cannot name another; give one --config")
            if value is None:
                continue
            if name in self._known:
                self._append(self._known[name], name, value, where)
            elif self._fields is None or name not in self._fields.list_names():
                raise ConfigError(f"{where}: unknown option {key!r}; {self._suggest(name)}")
            elif self._fields.keeps(name):
                self.given.rest[name], self.given.where[name] = value, where

    def _append(self, argument: Argument, name: str, value: Any, where: str) -> None:
        if argument.tokens:
            return
        if isinstance(value, dict) and name in _MAPPINGS:
            value = json.dumps(value)
        values = value if isinstance(value, list) else [value]
        if isinstance(value, list) and argument.token_count()[1] is False:
            raise ConfigError(f"{where}: {name}={value!r}: must be one value")
        if any(isinstance(item, dict | list) for item in values):
            raise ConfigError(f"{where}: {name}={value!r}: must be {'texts' if values is value else 'one value'}")
        for index, item in enumerate(values):
            text = str(item).lower() if isinstance(item, bool) else str(item)
            argument.append(Token(keyword=name, value=text, source=where, index=index))
        self.given.where[_normalize(argument.name)] = where

    def _suggest(self, name: str) -> str:
        names = set(self._known) | (self._fields.list_names() if self._fields else set())
        hint = ELSEWHERE.get(name, "")
        named = re.match(r"give (\w+)", hint)
        if hint and ("output_dir" in names or (named is not None and named[1] in names)):
            return hint
        otherwise = "options of a run stand in the file of --run" if "run" in self._known else None
        return suggest_nearest(name, names - {"help", "version"}, otherwise)


def _write_switches(app: App, tokens: Sequence[str]) -> list[str]:
    """`--flag off` and `--flag=off` as `--flag=false`, which cyclopts reads, where the command has such a switch."""
    names, apps, _ = app.parse_commands(tokens)
    has_options = (
        bool(names) and not names[-1].startswith("-") and apps[-1].default_command is not None
    )  # help has none
    known = apps[-1].assemble_argument_collection() if has_options else ()
    switches = {_normalize(name) for argument in known if argument.hint is bool for name in argument.positives}
    written: list[str] = []
    for token in tokens:
        before = written[-1] if written and "=" not in written[-1] else ""
        name, _, word = token.partition("=")
        if before.startswith("--") and _normalize(before) in switches and read_truth(token) is not None:
            written[-1] += f"={read_truth(token)}"
        elif name.startswith("--") and _normalize(name) in switches and read_truth(word) is not None:
            written.append(f"{name}={read_truth(word)}")
        else:
            written.append(token)
    return written


def _normalize(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _check_whole(argument: Argument) -> None:
    """Refuses what cyclopts would round."""
    if int in (argument.hint, *get_args(argument.hint)):
        for token in argument.tokens:
            if _is_number(token.value) and not float(token.value).is_integer():
                where = "" if token.source == "cli" else f"{token.source}: "
                raise ConfigError(f"{where}{_normalize(argument.name)}={token.value}: must be a whole number")


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _read_words(argument: Argument) -> None:
    """A switch's `on`; and, of what may be a path, `~/x` of a file or after an equals sign, which a shell leaves."""
    is_path = argument.name in _PATHS or Path in (argument.hint, *get_args(argument.hint))
    for index, token in enumerate(argument.tokens):
        truth = read_truth(token.value) if argument.hint is bool else None
        value = token.value if truth is None else str(truth).lower()
        if is_path or not argument.name.startswith("--"):
            name, equals, path = value.rpartition("=")
            if not path and not (name and "out" in argument.name):  # a variable that is not set; not runs/lr=
                raise ConfigError(f"{_normalize(argument.name)}={value!r}: the path is empty; give one")
            value = name + equals + expanduser(path)
        argument.tokens[index] = evolve(token, value=value)


def _refuse(token: str, suggestion: str) -> str:
    if token == "-":
        return "unexpected '-': standard input is read for completions alone; give a file's name"
    if not token.startswith("--"):
        return f"unexpected {token!r}; an option begins with --, and a file of that name is ./{token}"
    return f"unknown option {_normalize(token.partition('=')[0])!r}; {suggestion}"


def _explain(error: CycloptsError, tokens: Sequence[str]) -> str:
    """One line: where, what, and the remedy."""
    match error:
        case UnknownCommandError(unused_tokens=[name, *_]) if name.startswith("-"):
            return f"{name} stands before the command; options come after it"
        case UnknownCommandError(unused_tokens=[name, *_], app=App() as app):
            known = [command for command in app if not command.startswith("-")]
            return f"unknown command {name!r}; {suggest_nearest(name, known)}"
        case UnknownOptionError(token=token, argument_collection=arguments):
            text = token.keyword or token.value
            known = [_normalize(each.name) for each in arguments if each.name.startswith("--")]
            return _refuse(text, suggest_nearest(_normalize(text.partition("=")[0]), known))
        case CoercionError(token=Token() as token, argument=Argument() as argument):
            where = "" if token.source == "cli" else f"{token.source}: "
            kind = next((words for type_, words in _KINDS.items() if error.target_type is type_), "another value")
            return f"{where}{_normalize(token.keyword or argument.name)}={token.value!r}: must be {kind}"
        case MissingArgumentError(argument=Argument() as argument, keyword=None):
            name = _normalize(argument.name)
            if not argument.name.startswith("-"):
                return f"{name} is missing; --help says what it is"
            return f"{name} is missing; give --{name}, or a line in the --config file"
        case MissingArgumentError(keyword=keyword):
            after = dict(pairwise(tokens)).get(str(keyword), "")
            is_name = after.startswith("-") and not after.startswith("--")
            hint = "; - is none, give a file's name" if after == "-" else f"; a file of that name is ./{after}"
            return f"{keyword} needs a value{hint if is_name else ''}"
    error.verbose = False
    return shorten(error)
