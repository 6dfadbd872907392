"""Files that cannot be read as they are: one line with the place, or read all the same."""

import gzip
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
        (
            "a.jsonl",
            '{"id": 1, "question": "1?", "question": "2?", "answer": 1}',
            "'question' stands twice in one object",
        ),
        ("a.json", '[{"id": 1, "question": "?", "answer": {"a": 1, "a": 2}}]', "'a' stands twice in one object"),
        ("a.jsonl", '{"id": NaN, "question": "?", "answer": 1}', "id must be text or a number, got nan"),
        ("a.jsonl", '{"id": 1e999, "question": "?", "answer": 1}', "id must be text or a number, got inf"),
        ("a.csv", "id,question,answer\n,?,1\n", "id must be text or a number, got an empty one"),
        ("a.jsonl", '{"id": 1, "question": "\\u200b\\ufeff", "answer": 1}', "empty prompt"),
        ("a.jsonl", '{"id": 1, "question": [{"role": "user", "content": null}], "answer": 1}', "got null"),
        ("a.csv", "id;question;answer\n1;?;1\n", "columns are parted by ';'"),
        ("a.csv", "id\tquestion\tanswer\n1\t?\t1\n", r"columns are parted by '\t'"),
        ("a.jsonl", '[\n{"id": 1}\n]', "line 1: a list over several lines; for a list of objects name it .json"),
        ("a.json", '{"id": 1}\n{"id": 2}\n', "several JSON values; for one object a line name it .jsonl"),
        ("a.jsonl", "[1]", "line 1: expected an object with columns, got a list; give one a row"),
        ("a.parquet", "PAR1 and no more", "not a Parquet file that can be read"),
        ("a.csv", "\n\nid,question,answer\n1,?,1\n", "line 1: an empty line; begin with the names of the columns"),
        ("a.csv", "id,question,answer\r1,?,1\r", "not valid CSV (lines end in a carriage return alone)"),
        ("a.csv", "id,question,answer,options\n1,?,1,x|y\n", "got text; write them so, in a .jsonl file"),
        ("a.csv", 'messages,answer\n"[{""role"": ""user"", ""content"": ""1+1?""}]",2\n', "a chat written as text"),
        ("a.csv", "messages,answer\n\"[{'role': 'user', 'content': '1+1?'}]\",2\n", "a chat written as text"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (
            [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}],
            "ends with a message of 'assist",
        ),
        ([{"role": "system", "content": "Be brief."}], "ends with a message of 'system'"),
        ([{"role": {"a": 1}, "content": "1+1?"}], "must be text or a list of chat messages"),
        ([{"role": "system", "content": "Be brief."}, {"role": "user", "content": " "}], "empty prompt"),
        ([{"role": "user", "content": []}], "empty prompt"),
        ([{"role": "user", "content": [{"type": "text", "text": "\u200b"}]}], "empty prompt"),
    ],
)
def test_a_chat_that_asks_nothing_is_refused(tmp_path, messages, message):
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages, "answer": 1}))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.jsonl")
    assert message in str(caught.value)


def test_an_empty_cell_of_a_csv_says_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("id,question,answer,answer_type,options,image\n1,?,1,,,\n2,?,1,math,,\n")
    problems = read(tmp_path / "a.csv").problems
    assert [(each.answer_type, each.options, each.images) for each in problems] == [(None, (), ()), ("math", (), ())]


@pytest.mark.parametrize("name", ["a.jsonl", "a"])
def test_a_folder_is_said_to_be_one(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=rf"{name} is a folder; give a file in it"):
        read(tmp_path / name)


_LONG = "iVBORw0KGgo-" * 1000  # base64 of URLs


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (_LONG, "copy it there, or mend its path"),
        ("data:image/png," + _LONG, "image number 1 is a data: URI, but no base64"),
        ("HTTPS://example.org/a.png", "is a URL; download it"),
        ("https://example.org/" + _LONG, "is a URL; download it"),
        ({"url": "https://example.org/a.png"}, "got an object"),
    ],
)
def test_a_cell_that_is_no_picture_is_named_in_a_short_line(tmp_path, image, message):
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW | {"image": image}))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.jsonl")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_an_empty_column_of_pictures_hides_no_other(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not opened here")
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW | {"images": [], "image": "a.png"}))
    assert len(read(tmp_path / "a.jsonl").problems[0].images) == 1


def test_whole_characters_in_escapes_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "\\ud83d\\ude00", "question": "?", "answer": 1}')
    assert list(read(tmp_path / "a.jsonl").gold_answers) == ["😀"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"{}", mtime=0), "gzip"),
        (b"PK\x03\x04" + b"\0" * 40, "a spreadsheet or a ZIP archive"),
        (b"PAR1" + b"\0" * 40, "Parquet"),
        ("[]".encode("utf-32"), "UTF-32"),
        ("[]".encode("utf-16-le"), "UTF-16"),
        ("[]".encode("utf-16-be"), "UTF-16"),
    ],
    ids=["gzip", "zip", "parquet", "utf-32", "utf-16-le", "utf-16-be"],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_file_of_another_kind_is_said_to_be_one(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.\w+: not UTF-8 text \(it looks like {kind}\)"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["1", None], "an option must be text or a number, got null"),
        ([["1"], "2"], "an option must be text or a number, got a list"),
        ({"B": "1", "C": "2"}, "options are named B, C; name them by the first letters"),
        ({"A": "1", "a": "2"}, "options are named A, a"),
        ({"1": "x", "2": "y"}, "options are named 1, 2"),
        ([*map(str, range(11))], "11 options; letters A to J are read"),
    ],
)
def test_options_whose_letters_would_be_others_are_refused(tmp_path, options, message):
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW | {"options": options}))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.jsonl")
    assert message in str(caught.value)


def test_options_are_ordered_by_their_letters_and_null_is_none(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW | {"options": {"b": 2, "a": True, "c": None}}))
    assert read(tmp_path / "a.jsonl").problems[0].options == ("True", "2")
