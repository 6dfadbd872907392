"""Tables of responses and the answers, and keys, they must give; every bug found adds a row."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_rl.answers import canonical_key, extract_answer, gold_key, response_key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"So \boxed{42}.", "42"),
        (r"First \boxed{1}, no: \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed 7", "7"),
        (r"\boxed{5} and then \boxed{unfinished", "5"),
        ("8 * 2 = 16\n#### 16", "16"),
        ("The final answer is 12.", "12"),
        ("The answer is: 12\nBecause", "12"),
        ("答案：12", "12"),
        ("答案是12", "12"),
        (r"<think>\boxed{1}</think> \boxed{2}", "2"),
        (r"\boxed{3}<|im_end|>", "3"),
        ("#### 16<|im_end|>", "16"),
        ("We need to answer this.", None),
        ("no answer here, 42", None),
        ("", None),
        (r"\boxed{}", None),
        (r"\boxed{" + "1" * 5000 + "}", None),
    ],
)
def test_extraction(text, expected):
    assert extract_answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{B}", "B"),
        ("The answer is (C).", "C"),
        ("The answer is D. because", "D"),
        (r"\boxed{\text{A}}", "A"),
        ("The answer is nothing", None),
        ("I like B", None),
    ],
)
def test_choice(text, expected):
    assert response_key(text, "choice") == expected


@pytest.mark.parametrize(
    "same",
    [
        ["1/2", r"\frac{1}{2}", r"\frac12", r"\dfrac12", "0.5", ".5", "0.50", "$0.5$", r"\tfrac{1}{2}", "2/4"],
        ["142", "142.0", "+142", "142.", r"\(142\)", " 142 ", "x = 142"],
        ["25", "025"],
        ["-3", "−3", "-3.0", r"-\frac{6}{2}"],
        ["1234", "1,234", r"1{,}234", r"\$1,234", "1,234.00"],
        ["50", r"50\%", "50%", r"50^\circ", r"50^{\circ}"],
        ["3/2", r"1\frac{1}{2}", "1.5"],
        [r"\text{Evelyn}", "Evelyn", "evelyn"],
        ["(1,2)", "(1, 2)", r"\left(1,2\right)"],
        [r"2\sqrt{3}", r"2 \sqrt{3}", r"2\,\sqrt{3}", r"\sqrt{12}"],
        [r"\frac{\pi}{2}", r"\pi/2", r"\dfrac{1}{2}\pi"],
        ["(x+1)^2", "x^2+2x+1", "1+2x+x^2"],
        [r"\sqrt{4}", "2", r"\frac{6}{3}"],
        [r"\{1,2\}", r"\{2,1\}"],
        ["[0,1)", r"x \in [0,1)"],
        ["(1,2,3)", r"(1, \frac{4}{2}, 3)"],
        [r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ \frac{4}{2} \end{pmatrix}"],
    ],
)
def test_same_answer_same_key(same):
    assert len({canonical_key(text) for text in same}) == 1


def test_different_answers_have_different_keys():
    texts = ["1", "2", "-1", "1/3", "0.3333", "(1,2)", "(2,1)", "[1,2)", "12,34", r"\{1,2\}", "1/0"]
    texts += ["x", "y", "2x", "x>3", "x<3", "listen", "silent", r"\sqrt{2}", r"\sqrt{3}"]
    assert len({canonical_key(text) for text in texts}) == len(texts)


def test_gold_answers_may_be_worked_solutions():
    assert gold_key("She makes 9 * 2 = <<9*2=18>>18 every day.\n#### 18") == "18"
    assert gold_key("142.0") == "142"


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_survived(text):
    for wrapped in (text, rf"\boxed{{{text}}}", f"#### {text}"):
        key = response_key(wrapped)
        assert key is None or isinstance(key, str)


@given(st.fractions(min_value=-1000, max_value=1000))
def test_fractions_and_their_latex_agree(value):
    sign = "-" if value < 0 else ""
    latex = rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    assert canonical_key(latex) == canonical_key(f"{value.numerator}/{value.denominator}") == str(value)


BOMBS = [
    r"\boxed{" * 200_000,
    "{" * 1_000_000,
    "answer is " * 100_000,
    "answer" + " " * 1_000_000,
    r"\boxed{" + "{" * 400 + "}" * 400 + "}",
    r"\boxed{" + "(" * 140 + ")" * 140 + "}",
    "\x00\x1b[31m[bold]<script>" * 1000,
    r"\boxed{" + "9" * 900 + "!}",
]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
def test_long_and_nested_text_does_not_hang(bomb):
    start = time.perf_counter()
    response_key(bomb)
    assert time.perf_counter() - start < 30  # a hang, not a speed


@pytest.mark.parametrize("bomb", [r"\boxed{9^{9^{9^{9}}}}", r"\boxed{10000000000!}"])
def test_what_cannot_be_worked_out_in_time_is_no_answer(bomb):
    assert response_key(bomb) is None
    assert response_key(r"\boxed{\sqrt{9}}") == "3"  # the next one has a fresh worker
