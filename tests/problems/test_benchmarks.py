"""Benchmarks: rows in the hub's and in the copies' columns, what is checked, and the commands on them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from paths import DATA
from spine_rl.errors import DataError
from spine_rl.problems import load_problems
from spine_rl.problems.benchmarks import BENCHMARKS
from spine_rl.problems.benchmarks.benchmark import load, shuffle_options

# One made-up row of each, with the hub's column names.
HUB_ROWS = {
    "math500": {"problem": "1+1?", "answer": "2", "subject": "Algebra", "level": 1, "unique_id": "a/1"},
    "amc": {"id": 0, "problem": "1+1?", "answer": 2.0},
    "aime2024": {"id": 60, "problem": "1+1?", "answer": "002"},
    "aime2025": {"id": "0", "problem": "1+1?", "answer": "2"},
    "gsm8k": {"question": "1+1?", "answer": "1+1=2\n#### 2"},
    "gpqa-diamond": {
        "Question": "Made up?", "Correct Answer": "yes", "Incorrect Answer 1": "no", "Incorrect Answer 2": "both",
        "Incorrect Answer 3": "none", "High-level domain": "Physics", "Record ID": "r1",
    },
    "mmlu": {"question": "1+1?", "choices": ["1", "2", "3", "4"], "answer": 1, "subject": "arithmetic"},
    "medqa": {"question": "Which?", "options": {"A": "a", "B": "b", "C": "c", "D": "d"}, "answer_idx": "C"},
    "pubmedqa": {"pubid": 7, "question": "Is it?", "context": {"contexts": ["1.", "2."]}, "final_decision": "maybe"},
    "mathvision": {
        "id": "4", "question": "See <image1>?", "options": ["x", "y"], "image": "images/4.jpg", "answer": "B",
        "subject": "counting", "level": 1,
    },
    "slake": {
        "qid": 3, "question": "Is it?", "answer": "Yes", "q_lang": "en", "answer_type": "CLOSED", "img_name": "x/s.jpg",
        "img_id": 1, "location": "Lung", "modality": "CT", "base_type": "vqa", "content_type": "Organ", "triple": ["_"],
    },
    "medxpertqa-mm": {
        "id": "MM-1", "question": "Which?\nAnswer Choices: (A) a (B) b (C) c (D) d (E) e", "label": "E",
        "options": {letter: letter.lower() for letter in "ABCDE"}, "images": ["1.jpg", "2.jpg"],
        "medical_task": "Diagnosis", "body_system": "Skeletal", "question_type": "Reasoning",
    },
}  # fmt: skip
GOLD = {"mmlu": "B", "medqa": "C", "pubmedqa": "maybe", "mathvision": "B", "medxpertqa-mm": "E"}


def write_copy(folder, name, rows):
    path = folder / Path(BENCHMARKS[name].local_file).with_suffix(".jsonl").name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for image in ("images/4.jpg", "imgs/x/s.jpg", "../images/1.jpg", "../images/2.jpg"):
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).touch()
    return path


@pytest.mark.parametrize("name", HUB_ROWS)
def test_a_row_of_the_hub_becomes_a_problem(tmp_path, name):
    (tmp_path / "copy").mkdir()
    path = write_copy(tmp_path / "copy", name, [HUB_ROWS[name]])
    problem_set = load(replace(BENCHMARKS[name], num_rows=1), str(path), with_gold=True)
    problem = problem_set.problems[0]
    assert problem.prompt.endswith("\\boxed{}.")
    assert problem_set.gold_answers[problem.id] == GOLD.get(name, problem_set.gold_answers[problem.id])
    if problem.options:
        assert problem.answer_type == "choice"
        assert f"(A) {problem.options[0]}" in problem.prompt
        assert problem_set.gold_answers[problem.id] in "ABCDE"
    assert all(image.source.is_file() for image in problem.images)


def test_medical_pictures_are_found_and_options_stand_once(tmp_path):
    def load_one(name, *rows):
        folder = tmp_path / name
        folder.mkdir()
        path = write_copy(folder, name, rows)
        problem_set = load(replace(BENCHMARKS[name], num_rows=1), str(path), with_gold=True)
        return problem_set.problems[0], problem_set.tags

    problem, tags = load_one("medxpertqa-mm", HUB_ROWS["medxpertqa-mm"])
    assert problem.prompt.startswith("<image1><image2>\nWhich?\n(A) a\n(B) b\n(C) c\n(D) d\n(E) e\nPlease")
    assert [image.source.resolve() for image in problem.images] == [tmp_path / "images" / f"{n}.jpg" for n in (1, 2)]
    assert tags["MM-1"] == {"medical_task": "Diagnosis", "body_system": "Skeletal", "question_type": "Reasoning"}
    chinese = HUB_ROWS["slake"] | {"qid": 4, "q_lang": "zh"}
    problem, tags = load_one("slake", chinese, HUB_ROWS["slake"])
    assert (problem.id, problem.answer_type, len(problem.images)) == ("3", "yes_no", 1)
    assert tags["3"] == {"kind": "closed", "content": "Organ"}


@pytest.mark.parametrize("options", [["x", "y"], []])
def test_a_letter_is_asked_for_only_where_there_are_options(tmp_path, options):
    row = HUB_ROWS["mathvision"] | {"options": options, "answer": "B" if options else "6"}
    path = write_copy(tmp_path, "mathvision", [row])
    problem = load(replace(BENCHMARKS["mathvision"], num_rows=1), str(path), with_gold=True).problems[0]
    assert ("the letter of the correct option" in problem.prompt) == bool(options)
    assert problem.prompt.endswith("within \\boxed{}.")
    assert problem.answer_type == ("choice" if options else "math")


def test_all_of_the_paper_are_known():
    assert list(BENCHMARKS) == list(HUB_ROWS)


def test_options_are_shuffled_by_the_question_alone():
    first = shuffle_options("q", "right", ["a", "b", "c"])
    assert first == shuffle_options("q", "right", ["a", "b", "c"])
    options, letter = first
    assert options["ABCD".index(letter)] == "right"
    letters = {shuffle_options(str(i), "right", ["a", "b", "c"])[1] for i in range(50)}
    assert letters == set("ABCD")


def test_gold_is_read_only_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(BENCHMARKS, "gsm8k", replace(BENCHMARKS["gsm8k"], num_rows=2))
    path = write_copy(tmp_path, "gsm8k", [HUB_ROWS["gsm8k"]] * 2)
    assert load_problems(f"gsm8k={path}").gold_answers == {}
    assert load_problems(f"gsm8k={path}", limit=1, gold_column="answer").gold_answers["0"].endswith("#### 2")
    monkeypatch.setenv("SPINE_DATA_ROOT", str(tmp_path))
    assert len(load_problems("gsm8k").problems) == 2
    assert len(load_problems(f"gsm8k={tmp_path}", limit=1).problems) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "gsm8k={path}",
            r"GSM8K has 1319 problems, here are 1 .* from https://huggingface.co/datasets/openai/gsm8k",
        ),
        (
            "math500={path}",
            r"line 1: not a row of MATH-500 \(KeyError: 'problem'\); it has question, answer; get it",
        ),
        ("gsm8k={path}.missing", "no such file; get it from"),
        ("gsm8k", "gsm8k: openai/gsm8k:main: neither a file here nor .* give a copy as gsm8k=PATH"),
        ("gsm8l", "unknown benchmark 'gsm8l'; did you mean 'gsm8k'?"),
        ("nothing=x", "unknown benchmark 'nothing'; known: math500"),
    ],
)
def test_what_is_wrong_is_said_with_where_to_get_it(tmp_path, source, message):
    path = write_copy(tmp_path, "gsm8k", [HUB_ROWS["gsm8k"]])
    with pytest.raises(DataError, match=message):
        load_problems(source.format(path=path))


def test_a_missing_picture_is_named_with_its_row(tmp_path):
    path = write_copy(tmp_path, "mathvision", [HUB_ROWS["mathvision"] | {"image": "images/none.jpg"}])
    with pytest.raises(DataError, match=r"line 1: no image .*none.jpg"):
        load(replace(BENCHMARKS["mathvision"], num_rows=1), str(path), with_gold=True)


def test_plain_files_may_have_options_and_answer_types(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": "?", "options": {"B": "y", "A": "x"}}, {"prompt": "?", "answer_type": "text", "answer": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = load_problems(str(path)).problems
    assert (first.options, first.answer_type) == (("x", "y"), None)
    assert (second.options, second.answer_type) == ((), "text")
    path.write_text(json.dumps({"prompt": "?", "answer_type": "maths"}))
    with pytest.raises(DataError, match="line 1: answer_type 'maths' must be one of math, number"):
        load_problems(str(path))


@pytest.mark.skipif(not DATA.exists(), reason="benchmark files are not here")
@pytest.mark.parametrize(
    ("name", "rows"),
    [("math500", 500), ("amc", 83), ("aime2024", 30), ("gsm8k", 1319), ("pubmedqa", 500), ("mathvision", 304)],
)
def test_real_copies(monkeypatch, name, rows):
    from spine_rl.answers import gold_key

    monkeypatch.setenv("SPINE_DATA_ROOT", str(DATA))
    problem_set = load_problems(name, gold_column="answer")
    assert len(problem_set.problems) == len(problem_set.gold_answers) == rows
    for problem in problem_set.problems:
        assert ("letter" in problem.prompt.splitlines()[-1]) == (problem.answer_type == "choice")
        assert gold_key(problem_set.gold_answers[problem.id], problem.answer_type, problem.options) is not None


# ---- commands


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_data_list_never_cuts_a_name_that_is_typed(spine, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    status, printed, _ = spine("data", "list")
    assert status == 0
    assert all(f" {name} " in printed for name in BENCHMARKS)


def test_data_show_and_export(spine, tmp_path, monkeypatch):
    row = HUB_ROWS["mathvision"] | {"question": "[bold]See[/bold] \x1b[31m<image1>?"}
    monkeypatch.setitem(BENCHMARKS, "mathvision", replace(BENCHMARKS["mathvision"], num_rows=1))
    path = write_copy(tmp_path, "mathvision", [row])
    status, printed, _ = spine("data", "show", f"mathvision={path}", "--limit", 1)
    assert status == 0
    assert "[bold]See[/bold] [31m⟦image 1: " in printed
    assert "(B) y" in printed
    assert "4.jpg⟧?" in printed.replace("\n", "")
    assert "gold" not in printed
    assert "gold: B" in spine("data", "show", f"mathvision={path}", "--show-gold")[1]
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / "4.jpg")
    page = ("data", "show", f"mathvision={path}", "--html", tmp_path / "p.html")
    assert [spine(*page, *more)[0] for more in ([], [], ["--overwrite"])] == [0, 2, 0]

    out = tmp_path / "out.jsonl"
    assert spine("data", "export", f"mathvision={path}", out)[0] == 0
    exported = json.loads(out.read_text())
    assert (exported["id"], exported["answer"], exported["options"]) == ("4", "B", ["x", "y"])
    status, _, error = spine("data", "export", f"mathvision={path}", out)
    assert (status, error.count("\n")) == (2, 1)
    assert load_problems(str(out), gold_column="answer").problems[0].answer_type == "choice"
