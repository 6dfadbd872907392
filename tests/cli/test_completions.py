"""`spine vote` and `spine grade` on completions of any system."""

import io
import json
import os

import pytest

ROWS = [
    {"id": "a", "completion": r"\boxed{0.5}"},
    {"id": "b", "completion": "The answer is 7"},
    {"id": "a", "completion": r"\boxed{\frac12}"},
    {"id": "a", "completion": r"\boxed{3}"},
    {"id": "b", "completion": "So 8"},
    {"id": "b", "completion": "I do not know"},
]
GOLD = [{"id": "a", "answer": "1/2"}, {"id": "b", "answer": "8"}, {"id": "c", "answer": "9"}]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def completions(tmp_path):
    return write(tmp_path / "completions.jsonl", ROWS)


@pytest.fixture
def gold(tmp_path):
    return write(tmp_path / "gold.jsonl", GOLD)


# ---- vote


def test_vote_writes_a_row_a_problem(spine, completions, tmp_path):
    summary = tmp_path / "summary.json"
    status, printed, _ = spine("vote", completions, "--json", summary)
    assert status == 0
    first, second = read(printed)
    assert first["id"] == "a"
    assert (first["pseudo_label"], first["answer"], first["votes"]) == ("1/2", "0.5", {"1/2": 2, "3": 1})
    assert (first["share"], first["margin"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (second["abstentions"], second["num_votes"], second["share"]) == (1, 3, pytest.approx(1 / 3))
    counts = json.loads(summary.read_text())
    assert (counts["problems"], counts["completions"], counts["labelled"]) == (2, 6, 2)
    assert counts["abstained"] == pytest.approx(1 / 6)
    assert counts["kappa"] == pytest.approx(1 / 6)  # of a's three pairs one agrees, of b's none; none between them


def test_rows_per_problem_and_stdin_give_the_same(spine, completions, tmp_path, monkeypatch):
    expected = spine("vote", completions)[1]
    texts = {id_: [row["completion"] for row in ROWS if row["id"] == id_] for id_ in "ab"}
    per_problem = write(tmp_path / "p.jsonl", [{"id": id_, "completions": texts[id_]} for id_ in texts])
    assert spine("vote", per_problem)[1] == expected
    monkeypatch.setattr("sys.stdin", io.StringIO(completions.read_text()))
    assert spine("vote", "-")[1] == expected


def test_share_and_margin_below_which_a_problem_abstains(spine, completions):
    rows = read(spine("vote", completions, "--vote-min-share", 0.5)[1])
    assert [row["pseudo_label"] for row in rows] == ["1/2", None]
    rows = read(spine("vote", completions, "--vote-min-margin", 0.4)[1])
    assert [row["pseudo_label"] for row in rows] == [None, None]
    assert rows[0]["answer"] is None


def test_weights_count_only_when_asked_for(spine, tmp_path):
    path = write(tmp_path / "w.jsonl", [{"id": 1, "completions": ["so 1", "so 1", "so 2"], "weights": [0.1, 0.2, 0.7]}])
    assert read(spine("vote", path)[1])[0]["pseudo_label"] == "1"
    row = read(spine("vote", path, "--weighted")[1])[0]
    assert (row["pseudo_label"], row["share"]) == ("2", pytest.approx(0.7))


def test_options_types_and_truncation_of_the_rows(spine, tmp_path):
    rows = [
        {"id": "o", "completion": "The answer is Paris", "options": {"A": "London", "B": "Paris"}},
        {"id": "t", "completion": "the lung", "answer_type": "text"},
        {"id": "cut", "completion": "1 + 2 = 3 and", "finish_reason": "length"},
        {"id": "full", "completion": "1 + 2 = 3", "finish_reason": "stop"},
    ]
    labels = {row["id"]: row["pseudo_label"] for row in read(spine("vote", write(tmp_path / "x.jsonl", rows))[1])}
    assert labels == {"o": "B", "t": "lung", "cut": None, "full": "3"}


@pytest.mark.parametrize(
    "beside",
    [{"truncated": [True, False, None]}, {"finish_reason": ["length", "stop", None]}],
)
def test_a_list_beside_completions_has_an_entry_for_each(spine, tmp_path, beside):
    rows = [{"id": "a", "completions": ["1 + 2 = 3"] * 3, **beside}]
    row = read(spine("vote", write(tmp_path / "x.jsonl", rows))[1])[0]
    assert (row["votes"], row["abstentions"]) == ({"3": 2}, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": 1, "completion": "5", "completions": ["6"]}], "both completion and completions; give one"),
        ([{"id": 1, "completion": "(A)", "options": o} for o in (["x", "y"], ["y", "x"])], "have different options"),
        (
            [{"id": 1, "completion": "5", "answer_type": t} for t in ("math", "choice")],
            "have different options or answer",
        ),
    ],
)
def test_rows_that_cannot_be_one_vote_are_refused(spine, tmp_path, rows, message):
    status, printed, error = spine("vote", write(tmp_path / "c.jsonl", rows))
    assert (status, printed) == (2, "")
    assert message in error


def test_a_problem_shown_obeys_no_terminal(spine, tmp_path):
    row = {"id": "a\x1b[31m", "prompt": "1+1\x1b[2J", "answer": "2\x07"}
    status, printed, _ = spine("data", "show", write(tmp_path / "p.jsonl", [row]), "--show-gold")
    assert status == 0
    assert not {"\x1b", "\x07"} & set(printed)


def test_pipes_are_read(spine, completions):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file:
        file.write(completions.read_text())
    try:
        assert spine("vote", f"/dev/fd/{reader}")[1] == spine("vote", completions)[1]
    finally:
        os.close(reader)


# ---- grade


def test_grade_gives_rows_and_metrics(spine, completions, gold, tmp_path):
    out, summary = tmp_path / "rows.jsonl", tmp_path / "summary.json"
    status, printed, _ = spine("grade", completions, "--gold", gold, "--out", out, "--json", summary)
    assert status == 0
    rows = read(out.read_text())
    assert [row["correct"] for row in rows] == [True, False, True, False, True, False]
    assert [row["sample"] for row in rows] == [0, 0, 1, 2, 1, 2]
    assert rows[0] == {"id": "a", "sample": 0, "extracted": "0.5", "key": "1/2", "correct": True}
    assert rows[5]["extracted"] is None
    metrics = json.loads(summary.read_text())
    assert (metrics["problems"], metrics["missing"], metrics["completions"]) == (2, 1, 6)
    assert metrics["pass@1"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert metrics["pass@2"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["pass@3"] == 1
    assert metrics["maj@3"] in (0.5, 1.0)  # b is a tie of 7 and 8
    assert metrics["unparseable"] == pytest.approx(1 / 6)
    assert "pass@1" in printed


def test_gold_says_how_answers_are_read(spine, tmp_path):
    rows = [{"id": "o", "completion": "It is London"}, {"id": "y", "completion": "No, it is not"}]
    answers = [
        {"id": "o", "answer": "A", "options": ["London", "Paris"]},
        {"id": "y", "answer": "no"},
    ]
    out = tmp_path / "rows.jsonl"
    files = write(tmp_path / "c.jsonl", rows), write(tmp_path / "g.jsonl", answers)
    assert spine("grade", files[0], "--gold", files[1], "--out", out)[0] == 0
    assert [(row["key"], row["correct"]) for row in read(out.read_text())] == [("A", True), ("no", True)]


def test_grade_explains_one_completion(spine, completions, gold, tmp_path):
    status, printed, _ = spine("grade", completions, "--gold", gold, "--explain", "a:1")
    assert status == 0
    assert printed.splitlines()[-1] == "gold '1/2': correct"
    assert "'1/2'" in printed
    assert "pass@1" not in printed
    for wanted in ("a:3", "z", "a:x", f"a:{2**70}"):
        status, _, errors = spine("grade", completions, "--gold", gold, "--explain", wanted)
        assert status == 2
        assert "no such completion" in errors
    assert spine("grade", completions, "--gold", gold, "--explain", "a", "--out", tmp_path / "rows.jsonl")[0] == 2
    assert not (tmp_path / "rows.jsonl").exists()


def test_evaluations_samples_can_be_graded(spine, gold, tmp_path):
    row = {"id": "a", "sample": 0, "completion": "so 1/2", "num_tokens": 3, "truncated": True, "entropy": 0.1}
    summary = tmp_path / "s.json"
    assert spine("grade", write(tmp_path / "samples.jsonl", [row]), "--gold", gold, "--json", summary)[0] == 0
    metrics = json.loads(summary.read_text())
    assert (metrics["pass@1"], metrics["truncated"]) == (0, 1)  # a final line that was cut off is no answer


@pytest.mark.parametrize(
    ("columns", "ids", "more"),
    [
        ({"id": "a", "answer": "1/2"}, ["a"], []),
        ({"unique_id": "a", "answer": "1/2"}, ["a"], []),
        ({"question": "?", "answer": "1/2"}, ["0"], []),
        ({"qid": 7, "target": 0.5}, ["7"], ["--id-column=qid", "--gold-column=target"]),
    ],
)
def test_gold_is_found_where_eval_looks_for_it(spine, tmp_path, columns, ids, more):
    files = (
        write(tmp_path / "c.jsonl", [{"id": ids[0], "completion": "so 1/2"}]),
        write(tmp_path / "g.jsonl", [columns]),
    )
    summary = tmp_path / "s.json"
    status, _, error = spine("grade", files[0], "--gold", files[1], "--json", summary, *more)
    assert status == 0, error
    assert json.loads(summary.read_text())["pass@1"] == 1


# ---- what is wrong


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not valid JSON"),
        ("[" * 100_000, "line 1: not valid JSON"),
        ("3", "line 1: expected an object with id and completion"),
        ('{"id": 1}', "line 1: expected an object with id and completion"),
        ('{"id": 1, "completion": 3}', "completion must be text"),
        ('{"id": 1, "completions": ["1"], "weights": [1, 2]}', "1 completions, but a list of 2 beside them"),
        ('{"id": 1, "completion": "1", "weight": -1}', "a weight must be a number of at least 0"),
        ('{"id": 1, "completion": "1", "weight": true}', "a weight must be a number of at least 0"),
        ('{"id": 1, "completion": "1", "truncated": "False"}', "line 1: truncated must be true, false or null"),
        ('{"id": 1, "completions": ["1"], "truncated": ["no"]}', "line 1: truncated must be true, false or null"),
        ('{"id": 1, "completions": ["1"], "finish_reason": ["stop", "stop"]}', "a list of 2 beside them"),
        ('{"id": 1, "completion": "1", "finish_reason": 3}', "line 1: finish_reason must be text or null"),
        ('{"id": null, "completion": "1"}', "line 1: id must be text or a number, got null"),
        ('{"id": ["a"], "completion": "1"}', "line 1: id must be text or a number, got a list"),
        ('{"id": 1, "completions": []}', "line 1: completions is empty; give at least one"),
        ('{"id": 1, "completion": "1", "options": "AB"}', "line 1: options must be a list of texts"),
        ('{"id": 1, "completion": "1", "answer_type": "maths"}', "answer_type 'maths' must be one of"),
        ("", "no rows; give lines with id and completion"),
    ],
)
def test_a_bad_row_gets_one_line(spine, tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(line)
    status, _, error = spine("vote", path)
    assert (status, error.count("\n")) == (2, 1)
    assert message in error


def test_ids_without_gold_and_files_that_exist_are_refused(spine, completions, gold, tmp_path):
    other = write(tmp_path / "other.jsonl", [{"id": "z", "completion": "1"}])
    for arguments, message in (
        (("grade", other, "--gold", gold), "id 'z' is not among the gold answers"),
        (("grade", completions, "--gold", completions), "no column 'answer' (gold_column); it has id, completion"),
        (("grade", completions, "--gold", gold, "--id-column=qid"), "no column 'qid' (id_column)"),
        (("grade", completions, "--gold", gold, "--out", other), "exists; give another name or --overwrite"),
        (("vote", completions, "--json", gold), "exists; give another name or --overwrite"),
        (("vote", tmp_path / "none.jsonl"), "no such file"),
        (("vote", tmp_path), "is a folder; give a file of completions in it"),
        (("vote", completions, "--out", tmp_path, "--overwrite"), "is a folder; give the name of a file"),
        (("vote", completions, "--answer-type", "maths"), "answer_type='maths': must be one of"),
        (("vote", completions, "--weighted"), "a row has no weight"),
    ):
        status, _, error = spine(*arguments)
        assert (status, error.count("\n")) == (2, 1), error
        assert message in error


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_what_is_read_is_never_replaced(spine, completions, gold, option):
    before = completions.read_bytes(), gold.read_bytes()
    for command in (
        ("vote", completions, option, completions),
        ("grade", completions, "--gold", gold, option, completions.parent / "." / completions.name),
        ("grade", completions, "--gold", gold, option, gold),
    ):
        status, _, error = spine(*command, "--overwrite")
        assert (status, error.count("\n")) == (2, 1), error
        assert "is what is read, and would be lost" in error
    assert before == (completions.read_bytes(), gold.read_bytes())


def test_weights_that_no_number_holds_are_refused(spine, tmp_path):
    path = write(tmp_path / "w.jsonl", [{"id": "a", "completions": ["so 1", "so 2"], "weights": [1e308, 1e308]}])
    assert spine("vote", path)[0] == 0
    status, _, error = spine("vote", path, "--weighted")
    assert (status, error.count("\n")) == (2, 1)
    assert "problem 'a': its weights add up to more than" in error


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "answer": ["1/2", "0.5"]}, "line 1: answer must be one gold answer, got a list"),
        ({"id": "a", "answer": {"value": 3}}, "line 1: answer must be one gold answer, got an object"),
        ({"id": "a", "answer": " "}, "line 1: problem 'a' has no gold answer; fill it"),
        ({"id": "a", "answer": None}, "line 1: problem 'a' has no gold answer; fill it"),
        ({"id": None, "answer": "3"}, "line 1: id must be text or a number, got null"),
    ],
)
def test_gold_that_could_never_be_right_is_refused(spine, completions, tmp_path, row, message):
    status, _, error = spine("grade", completions, "--gold", write(tmp_path / "g.jsonl", [row]))
    assert (status, error.count("\n")) == (2, 1)
    assert message in error


def test_hostile_completions_are_text(spine, tmp_path):
    texts = ["[bold]5[/bold]", "\x1b[31m5", "</script>5", "\ud800 5", r"\boxed{9^{9^{9^9}}}", "{" * 5000]
    path = write(tmp_path / "h.jsonl", [{"id": "[red]", "completions": texts}])
    status, printed, _ = spine("vote", path)
    assert status == 0
    assert "\x1b" not in printed
    assert read(printed)[0]["id"] == "[red]"


def test_many_rows_are_streamed(spine, tmp_path):
    path = tmp_path / "many.jsonl"
    with path.open("w") as file:
        for index in range(20_000):
            file.write(json.dumps({"id": index % 100, "completion": "x" * 2000 + f" so {index % 7}"}) + "\n")
    import tracemalloc

    tracemalloc.start()
    status, printed, _ = spine("vote", path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == 0
    assert len(read(printed)) == 100
    assert peak < path.stat().st_size / 2
