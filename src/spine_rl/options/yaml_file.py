"""The one reader of YAML files: runs, experiments and the options of any command.

It differs from YAML 1.1 as people do: `1e-4` is a number, `off` is text, a key that stands twice is a mistake. What
would cost minutes (aliases that multiply, thousands of levels, megabytes) is refused at once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spine_rl.errors import ConfigError, shorten

MAX_BYTES, MAX_DEPTH = 1_000_000, 50
MAX_WRITTEN, MAX_VALUES = 30_000, 200_000  # values as written, and with what aliases stand for

_RESOLVED_HERE = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """Plain values alone, with numbers and truth values as everyone writes them."""


# YAML 1.1 reads 1:30 as 90 and 010 as 8; here they are text, as which an option takes 010 and refuses 1:30.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _RESOLVED_HERE]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
# It reads `no` and `off` as false; here they are text, which a switch takes too, and other options as what they say.
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?i:true|false)$"), list("tTfF"))
_WHOLE = re.compile(r"[-+]?(0|[1-9][\d_]*|0x[\da-fA-F_]+|0b[01_]+)$")
_DECIMAL = re.compile(r"([-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _WHOLE, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _DECIMAL, list("-+.0123456789"))
_EXPONENT = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


@dataclass(frozen=True)
class YamlFile:
    """A file's content, and where its keys stand.

    Attributes:
        path: The file.
        content: Its mapping; keys are text.
        lines: The line of each key, from 1.
    """

    path: Path
    content: dict[str, Any]
    lines: dict[str, int]

    def locate(self, key: str) -> str:
        """`run.yaml, line 3`."""
        return f"{self.path}, line {self.lines[key]}" if key in self.lines else f"{self.path}"


def read_yaml(path: Path) -> YamlFile:
    """Reads a file of lines `key: value`.

    Raises:
        ConfigError: It cannot be read, is no mapping, or a key stands twice in it; with the line.
    """
    text = _read_text(path)
    try:
        _check_events(path, text)
        root = yaml.compose(text, Loader=_Loader)
        if not isinstance(root, yaml.MappingNode):
            kind = "nothing" if root is None else "a list" if isinstance(root, yaml.SequenceNode) else "one value"
            raise ConfigError(f"{path}: expected lines `key: value`, got {kind}")
        _check_node(path, root, {})
        _check_names(path, root)
        loader = _Loader("")
        try:
            content = loader.construct_document(root)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path}: not valid YAML ({_describe(error)}); mend it") from None
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in root.value}
    return YamlFile(path, {str(name): value for name, value in content.items()}, lines)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; is it a file of options?")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None


def _check_events(path: Path, text: str) -> None:
    """Refuses what is too deep or too long, by events, which are no recursion."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if number > MAX_WRITTEN:
            raise ConfigError(f"{path}: more than {MAX_WRITTEN:,} values; is it a file of options?")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{path}, line {event.start_mark.line + 1}: more than {MAX_DEPTH} levels deep")


def _check_node(path: Path, node: yaml.Node, sizes: dict[int, int]) -> int:
    """Refuses keys that stand twice; returns how many values a node has, each alias counted as what it stands for.

    Args:
        path: The file, for messages.
        node: What is looked at; one that aliases name several times is walked once.
        sizes: Of the nodes so far, by identity; 0 while a node is being walked.
    """
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise ConfigError(f"{path}, line {node.start_mark.line + 1}: an alias within what it stands for")
        return sizes[id(node)]
    sizes[id(node)] = 0
    if isinstance(node, yaml.MappingNode):
        _check_keys(path, node)
    size = 1 + sum(_check_node(path, child, sizes) for child in _list_children(node))
    if size > MAX_VALUES:
        raise ConfigError(f"{path}, line {node.start_mark.line + 1}: more than {MAX_VALUES:,} values, by its aliases")
    sizes[id(node)] = size
    return size


def _check_keys(path: Path, node: yaml.MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{path}, line {line}: a key must be one text")
        if key.value in seen:
            raise ConfigError(f"{path}, line {line}: {key.value!r} stands in line {seen[key.value]} too; remove one")
        seen[key.value] = line


def _check_names(path: Path, root: yaml.MappingNode) -> None:
    """Refuses a name that stands twice, once with dashes and once with underscores."""
    seen: dict[str, str] = {}
    for key, _ in root.value:
        other = seen.setdefault(key.value.replace("-", "_"), key.value)
        if other != key.value:
            raise ConfigError(f"{path}, line {key.start_mark.line + 1}: {key.value!r} is {other!r} too; remove one")


def _list_children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def _describe(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    return shorten(error)
