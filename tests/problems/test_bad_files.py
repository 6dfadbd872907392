"""Files that cannot be read as they are: one line with the place, or read all the same."""

import json

import pytest

from spine_rl.errors import DataError
from spine_rl.problems import load_problems

ROW = {"id": "a", "question": "Was ist 1+1?", "answer": "2"}


def read(path):
    return load_problems(str(path), gold_column="answer")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
@pytest.mark.parametrize(
    ("encoding", "message"),
    [("latin-1", "line 2: not UTF-8 text (byte {at} is 0xe4); save it as UTF-8"), ("utf-16", "looks like UTF-16")],
)
def test_other_encodings_are_named_with_the_byte(tmp_path, name, encoding, message):
    text = {
        "a.jsonl": '{"id": "a", "question": "?", "answer": 1}\n{"id": "ä", "question": "?", "answer": 1}\n',
        "a.json": '[{"id": "a", "question": "?", "answer": 1},\n{"id": "ä", "question": "?", "answer": 1}]\n',
        "a.csv": "id,question,answer\nä,?,1\n",
    }[name]
    (tmp_path / name).write_bytes(text.encode(encoding))
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert message.format(at=text.index("ä")) in str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_byte_order_mark_is_taken(tmp_path, name):
    texts = {"a.jsonl": json.dumps(ROW) + "\n", "a.json": json.dumps([ROW]), "a.csv": "id,question,answer\na,1?,2\n"}
    (tmp_path / name).write_text(texts[name], encoding="utf-8-sig")
    assert read(tmp_path / name).gold_answers == {"a": "2"}


def test_a_large_cell_is_read(tmp_path):
    picture = "x" * 500_000
    (tmp_path / "a.csv").write_text(f'id,question,answer\na,"{picture}",2\n')
    assert len(read(tmp_path / "a.csv").problems[0].prompt) == 500_000


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,question,answer,id\na,?,1,b\n", "line 1: the column 'id' stands twice"),
        ("a.csv", 'id,question,answer\na,"1+1?,2\nb,2+2?,4\n', "not valid CSV (a quote is not closed)"),
        ("a.json", "[" * 100_000, "not valid JSON (nested too deep)"),
        ("a.jsonl", "[" * 100_000, "line 1: not valid JSON (nested too deep)"),
        ("a.jsonl", f'{{"id": {"9" * 5000}, "question": "?", "answer": 1}}', "an integer of thousands of digits"),
        ("a.jsonl", '{"id": "\\ud83d", "question": "?", "answer": 1}', r"'\ud83d' is half of a character"),
        ("a.jsonl", '{"id": 1, "question": "?\\udc00", "answer": 1}', "line 1: "),
        ("a.jsonl", '{"id": 1, "question": "?", "answer": NaN}', "answer must be text or a number, got nan"),
        ("a.jsonl", '{"id": 1, "question": "?", "answer": true}', "got true or false; write it as text"),
        ("a.json", '[\n{"id": 1,\n"question" "?"}]', "line 3: not valid JSON"),
        ("a.parquet", "PAR1 and no more", "not a Parquet file that can be read"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_characters_in_escapes_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "\\ud83d\\ude00", "question": "?", "answer": 1}')
    assert list(read(tmp_path / "a.jsonl").gold_answers) == ["😀"]
