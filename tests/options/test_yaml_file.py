"""One reader of YAML: numbers as people write them, doubled keys and bombs refused, at once and with the line."""

import time

import pytest

from spine_rl.errors import ConfigError
from spine_rl.options import read_yaml


def write(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0x10", 16),
        ("1_000", 1000),
        ("1.", 1.0),
        ("5e-7", 5e-7),
        ("1E+3", 1e3),
        (".5e2", 50.0),
        ("-2.5e-1", -0.25),
        ("3", 3),
        ("0.1", 0.1),
        ("'1e-4'", "1e-4"),
        ("e4", "e4"),
        ("1e", "1e"),
        ("[1e-6, 2e-6]", [1e-6, 2e-6]),
        ("none", "none"),
        ("null", None),
        ("true", True),
        ("{a: 1e1}", {"a": 10.0}),
    ],
)
def test_values(tmp_path, text, value):
    found = read_yaml(write(tmp_path, f"x: {text}\n")).content["x"]
    assert (found, type(found)) == (value, type(value))


def test_lines_and_a_byte_order_mark(tmp_path):
    file = read_yaml(write(tmp_path, b"\xef\xbb\xbfa: 1\n\n# said\nb:\n  c: 2\n"))
    assert (file.content, file.lines) == ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": 4})
    assert file.locate("b") == f"{file.path}, line 4"


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' stands in line 1 too; remove one"),
        ("a:\n  b: 1\n  b: 2\n", "line 3: 'b' stands in line 2 too"),
        ("- {a: 1}\n", "expected lines `key: value`, got a list"),
        ("", "expected lines `key: value`, got nothing"),
        ("a: [1\n", "not valid YAML (line 2: "),
        ("a: !!python/object/apply:os.getcwd []\n", "not valid YAML (line 1: could not determine a constructor"),
        ("a: 2026-13-45\n", "not valid YAML (month must be in 1..12)"),
        (b"a: \xe9\n", "not UTF-8 (byte 3); save it as UTF-8"),
        (BOMB, "values, by its aliases"),
        ("a: &a [*a]\n", "line 1: an alias within what it stands for"),
        ("a: " + "[" * 50_000, "more than 50 levels deep"),
        ("a: [" + "1, " * 100_000 + "]", "more than 30,000 values"),
        ("a: " + "x" * 2_000_000, "larger than 1,000,000 bytes"),
    ],
)
def test_mistakes_get_one_line_at_once(tmp_path, text, message):
    path = write(tmp_path, text)
    start = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert time.monotonic() - start < 2
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"missing.yaml: cannot be read \(No such file or directory\); check"):
        read_yaml(tmp_path / "missing.yaml")


def test_a_name_with_dashes_and_with_underscores_stands_twice(tmp_path):
    with pytest.raises(ConfigError, match=r"line 2: 'max_steps' is 'max-steps' too; remove one"):
        read_yaml(write(tmp_path, "max-steps: 1\nmax_steps: 2\n"))
