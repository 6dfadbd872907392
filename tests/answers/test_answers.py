"""Tables of responses and the answers, and keys, they must give; every bug found adds a row."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz_answers import make_fuzz
from hypothesis import given, settings
from hypothesis import strategies as st

from paths import DATA
from spine_rl.answers import (
    ANSWER_TYPES,
    canonical_key,
    extract_answer,
    gold_key,
    infer_answer_type,
    response_key,
    symbolic,
)
from spine_rl.answers.symbolic import compute_symbolic_key, stop_workers

# ---- where the answer stands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # boxes
        (r"So \boxed{42}.", "42"),
        (r"First \boxed{1}, no: \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed 7", "7"),
        (r"\boxed{5} and then \boxed{unfinished", "5"),
        (r"So the answer is $\boxed{42$", None),
        (r"\boxed{}", None),
        (r"\boxed{" + "1" * 5000 + "}", None),
        ("\\boxed{5}\n\nWait, let me recheck. \\boxed{6}", "6"),
        (r"\boxed{2}, \boxed{3}", "2, 3"),
        (r"\(\boxed{1}\) and \(\boxed{-2}\).", "1, -2"),
        ("\\boxed{5}.\n\n**Final answer:** \\boxed{5}", "5"),
        ("**Final Answer**\n\n$$\\boxed{\\frac{3}{4}}$$", r"\frac{3}{4}"),
        # ####
        ("8 * 2 = 16\n#### 16", "16"),
        # "answer is" and its kin
        ("The final answer is 12.", "12"),
        ("The answer is: 12\nBecause", "12"),
        ("**Answer:** 42", "42"),
        ("The answer is\n\n42", "42"),
        ("答案：12", "12"),
        ("答案是12", "12"),
        ("因此，答案是 $12$。", "12"),
        (r"The answer is: $\frac{1}{2}$.", r"\frac{1}{2}"),
        ("Thus the answer is 3 1/2 hours.", "3 1/2"),
        ("The answer is 42 because 6*7=42.", "42"),
        ("The final answer is that the largest $n$ is $34$.", "34"),
        ("Final Answer: The largest $n$ is 34.", "34"),
        (r"Final Answer: The final answer is $(\frac{1}{5}, 6)$. I hope it is correct.", r"(\frac{1}{5}, 6)"),
        ("Answer: x = 3 or x = -3", "x = 3 or x = -3"),
        ("The answer is .4", ".4"),
        ("the answer is Evelyn.", "Evelyn"),
        ("The answer is not 5. It is 7.", "7"),
        ("The answer is $7 a day.", "$7"),
        # tags
        ("<answer>42</answer>", "42"),
        ("<think>a</think>\n<answer>\n42\n</answer>", "42"),
        (r"<answer>-\frac{3}{4}</answer>", r"-\frac{3}{4}"),
        ("<answer>3, 5</answer> is what I found in 2 steps.", "3, 5"),
        ("<answer>1</answer> or rather <answer>2</answer>", "2"),
        ("<answer>The answer is 42.</answer>", "42"),
        ("<answer>Add 5 and 7.\nThe total is $12$.</answer>", "12"),
        (r"<answer>\boxed{7}</answer>", "7"),
        ("<answer></answer> 8", "8"),
        ('{"answer": 42}', "42"),
        ("We need to answer this.", None),
        ("**Answer** - 42", "42"),
        ("Answer: 12 (since 3*4 = 12)", "12"),
        ("The answer is 12 (twelve) apples", "12"),
        ("Answer: f(x) = (x + 1)", "f(x) = (x + 1)"),
        ("答：5元。", "5"),
        ("答案是5个", "5"),
        ("答：一共有5个苹果。", "5"),
        # several numbers that are one answer
        ("The answer is 3 hours and 25 minutes", "3 hours and 25 minutes"),
        ("It takes 3 hours and 25 minutes to get there.", "3 hours and 25 minutes"),
        ("The answer is 9:40 pm.", "9:40 pm"),
        ("It arrives at 13:05.", "13:05"),
        ("The answer is the interval [2, 5]", "[2, 5]"),
        ("We get the point (3, 4).", "(3, 4)"),
        ("The score was 3-2", None),
        ("The dimensions are 3 by 5.", "3 by 5"),
        ("So she has 3 apples and 5 pears.", "3 apples and 5 pears"),
        ("The answer is 5 million people", "5 million"),
        ("There are 5 million people", "5 million"),
        ("So he will be 5+3=8 in 3 years", "8"),
        ("So that is 60/12 = 5 dozen eggs", "5"),
        ("Light travels 3 x 10^8 metres", "3 x 10^8"),
        ("So there are 2^10 ways", "2^10"),
        # the final line
        ("no answer here, 42", "42"),
        ("no answer here", None),
        ("Therefore, the total number of apples is 18.", "18"),
        ("So she makes $18 every day at the market.", "$18"),
        ("**18**", "18"),
        ("12 + 5 = 17 apples.", "12 + 5 = 17"),
        ("The solutions are $x = 3$ and $x = -3$.", "x = 3, x = -3"),
        ("Hence,\n\\[\nx = \\frac{5}{2}\n\\]", r"x = \frac{5}{2}"),
        ("\\begin{align*}\nx &= 5+3 \\\\\n&= 8\n\\end{align*}", "8"),
        ("Let me verify: 3+4=7. ✓", "7"),
        ("We get 5 apples.\n\nI hope this helps!", "5"),
        ("x " * 2000 + ". So the pair is $(7, 6)$.", "(7, 6)"),
        ("", None),
        # chat
        (r"<think>\boxed{1}</think> \boxed{2}", "2"),
        (r"\boxed{3}<|im_end|>", "3"),
        ("#### 16<|im_end|>", "16"),
        ("<s>The answer is 5.</s>", "5"),
        ("\\boxed{4}<|im_end|>\n<|im_start|>user\nNext: \\boxed{9}", "4"),
        ("The answer is 5.<|endoftext|>Human: what is 7?", "5"),
        ("It is $(7, 6)$. <|im_start|>user", "(7, 6)"),
    ],
)
def test_extraction(text, expected):
    assert extract_answer(text) == expected


def test_a_response_that_was_cut_off_has_no_final_line():
    assert extract_answer("12 + 5 = 17; 17 * 3 = 5", complete=False) is None
    assert extract_answer("\\boxed{3} and the", complete=False) == "3"


@pytest.mark.parametrize("text", ["The answer is 1", "#### 1", "So x = 2.\n\nAnswer: 1", "<answer>18</answer> #### 1"])
def test_a_sentence_that_was_cut_off_is_no_answer_for_its_end_may_be_missing(text):
    for ended in (".", "\n", " apples. So"):
        assert extract_answer(text + ended, "number", complete=False) in ("1", "18")
    assert extract_answer(text, "number", complete=False) != "1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{B}", "B"),
        (r"\boxed{\text{A}}", "A"),
        (r"\boxed{B. Paris}", "B"),
        (r"\boxed{(D)}", "D"),
        ("The answer is (C).", "C"),
        ("The correct answer is (C) because", "C"),
        ("The answer is D. because", "D"),
        ("Answer is A, since it fits", "A"),
        ("The answer is Option (A).", "A"),
        ("**Answer: (A)**", "A"),
        ("Therefore, the answer is\n\n**D. Renal failure**", "D"),
        ("The correct option is **C) mitosis**", "C"),
        ("Answer: The answer is E", "E"),
        (r"the answer is $\textbf{(C)}\ 12$", "C"),
        ("Both A and B are plausible, but the answer is B.", "B"),
        ("A) foo\nB) bar\nThe answer: B) bar", "B"),
        ("故选 C", "C"),
        ("答案：B", "B"),
        ("**C**", "C"),
        ("C. Paris", "C"),
        ("(b)", "B"),
        ("I think option B is right.", "B"),
        ("<answer>B</answer>", "B"),
        ("<answer>\n(C) Paris\n</answer>", "C"),
        ("I would go with C.", "C"),
        ("So it must be B", "B"),
        ("Answer: A and B", None),
        ("The answer is A, B, or C.", None),
        (r"\boxed{A, C}", None),
        (r"\boxed{A/B}", None),
        ("Answer: (A) or (B)", None),
        ("Answer: B, and C is wrong", "B"),
        ("Answer: A, because B and C are wrong", "A"),
        ("Answer: I do not know", None),
        ("Answer: I", "I"),
        ("The answer is I because it fits", "I"),
        ("The answer is nothing", None),
        ("The answer is a dog", None),
        ("I like B", None),
        ("A patient presents with fever.", None),
        ("It is hepatitis B", None),
        ("I'm not sure.", None),
    ],
)
def test_choice(text, expected):
    assert response_key(text, "choice") == expected


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("The answer is 12", ["10", "12", "14"], "B"),
        (r"\boxed{\frac12}", ["1/3", "0.5"], "B"),
        (r"\boxed{KNGO}", ["KNAO", "KNGO"], "B"),
        ("It must be Paris, I think", ["Paris", "London"], "A"),
        ("Paris or London", ["Paris", "London"], None),
        ("The answer is (B) 12", ["12", "10"], "B"),
        ("The answer is B. 12", ["12", "10"], "B"),
        (r"\boxed{D}", ["A", "B", "D"], "D"),  # letters count before texts
        (r"\boxed{the left lung}", ["Left lung", "Right lung"], "A"),
    ],
)
def test_choice_by_the_options_texts(text, options, expected):
    assert response_key(text, "choice", options) == expected
    assert gold_key("Paris", "choice", ["London", "Paris"]) == "B"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, because", "yes"),
        ("The answer is no.", "no"),
        ("<answer>no</answer>", "no"),
        (r"\boxed{maybe}", "maybe"),
        ("Based on the study, the answer is **Yes**.", "yes"),
        ("Final decision: no", "no"),
        ("答案：是", "yes"),
        ("yes and no", None),
        ("It is either yes or no", None),
        ("There is no doubt that it works.", None),
        ("No doubt it works.", None),
        ("No, there is no difference.", "no"),
        ("The answer is no, there is no evidence.", "no"),
        ("Yes, and not a maybe.", "yes"),
        ("The answer is not yes", None),
        ("There was no difference between the groups.", None),
        ("So I would say no because of the side effects.", "no"),
        ("答案：不可能", None),
        ("答案：是的，因为", "yes"),
        ("答案：不是。", "no"),
        ("答案：可能", "maybe"),
        ("但是这个问题很难", None),
        ("Nobody knows.", None),
    ],
)
def test_yes_no(text, expected):
    assert response_key(text, "yes_no") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She has about 18 apples left", "18"),
        (r"\boxed{18 \text{ apples}}", "18"),
        ("The answer is $1,234.50", "2469/2"),
        ("The answer is 3 hours and 25 minutes.", "12300 s"),
        ("So (1,000) people", "1000"),
        ("The answer is Evelyn", None),
        (r"\boxed{x}", None),
    ],
)
def test_number(text, expected):
    assert response_key(text, "number") == expected


def test_free_text_is_compared_without_articles_case_order_and_punctuation():
    same = ["The answer is the left lung, heart.", "Heart, Left Lung", r"\boxed{\text{heart and left lung}}"]
    assert {response_key(text, "text") for text in same} == {"heart, left lung"}
    assert canonical_key("two", "text") == canonical_key("2", "text")
    assert canonical_key("Hepatitis A.", "text") == "hepatitis a" != canonical_key("Hepatitis", "text")
    assert canonical_key("vitamin A deficiency", "text") == "vitamin a deficiency"
    assert canonical_key("A dog", "text") == canonical_key("a dog", "text") == canonical_key("The dog", "text") == "dog"
    assert canonical_key("1,000", "text") == canonical_key("1000", "text") == "1000"
    assert canonical_key("left lung", "text") != canonical_key("right lung", "text")


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        (["A", "(C)", "b"], "choice"),
        (["yes", "no", "Maybe"], "yes_no"),
        (["12", "1/2", "3.5", "25%"], "number"),
        (["She has 3.\n#### 3"], "number"),
        (["left lung", "heart"], "text"),
        (["12", r"\sqrt{2}"], "math"),
        ([], "math"),
    ],
)
def test_the_type_follows_from_the_gold_answers(gold, expected):
    assert infer_answer_type(gold) == expected


# ---- which answers are the same


@pytest.mark.parametrize(
    "same",
    [
        ["1/2", r"\frac{1}{2}", r"\frac12", r"\frac 12", r"\dfrac12", "0.5", ".5", "0.50", "$0.5$", "2/4", "½"],
        ["-1/2", r"\frac{-1}{2}", r"\frac{1}{-2}", r"-\frac12", "-0.5"],
        ["142", "142.0", "+142", "142.", r"\(142\)", " 142 ", "x = 142", "**142**", r"\text{142}", "142 (one hundred)"],
        ["25", "025", "5^2", r"\sqrt{625}", "25 apples", r"25\text{ apples}", "approximately 25"],
        ["-3", "−3", "-3.0", r"-\frac{6}{2}", "3 - 6"],
        [
            "1234",
            "1,234",
            r"1{,}234",
            r"\$1,234",
            "1,234.00",
            "1 234",
            r"1,\!234",
            r"1\,234",
            "$1,234 per day",
            "1,234€",
        ],
        ["50", r"50\%", "50%", "50 percent", r"50^\circ", r"50^{\circ}", "50 degrees"],
        ["864", r"864 \mbox{ inches}^2", "864 square inches", "864 cm^2", "864m²"],
        ["3/2", r"1\frac{1}{2}", "1 1/2", "1.5", "1½"],
        ["1/3", r"0.\overline{3}", "0.33333", "0.333333333333333333"],
        ["0.111", "0,111"],
        [r"\text{Evelyn}", "Evelyn", "evelyn", r"\textbf{Evelyn}."],
        [r"\text{(C)}", "C", "(C)"],
        [r"\textbf{(B)}\ 5", "(B) 5", "5"],
        ["(1,2)", "(1, 2)", r"\left(1,2\right)", r"\langle 1, 2\rangle", "(x,y)=(1,2)", "x=1, y=2", "y=2,x=1", "1<x<2"],
        [r"\left( 3, 4 \right)", r"\\left( 3, 4 \\right)"],
        [r"2\sqrt{3}", r"2 \sqrt{3}", r"2\,\sqrt{3}", r"\sqrt{12}", "2*sqrt(3)", "2√3", r"2\sqrt3", "3.46410161513775"],
        [r"\frac{\pi}{2}", r"\pi/2", r"\dfrac{1}{2}\pi", "pi/2", "π/2"],
        ["(x+1)^2", "x^2+2x+1", "1+2x+x^2", "y = (x+1)^2", "f(x) = (x+1)**2"],
        ["6-5i", "-5i+6", r"6 - 5 i"],
        ["602000", r"6.02 \times 10^5", "6.02e5", "6.02 × 10⁵".replace("⁵", "^5")],
        [r"\{1,2\}", r"\{2,1\}", "1, 2", "2,1", "1 and 2", r"1 \text{ and } 2", "x=1 or x=2", "x_1=2, x_2=1", "1;2"],
        [r"1 \pm \sqrt{2}", r"1+\sqrt{2}, 1-\sqrt{2}", r"\{1-\sqrt2, 1+\sqrt2\}"],
        [r"\{1\pm\sqrt{5},-2\}", r"-2, 1-\sqrt 5, 1+\sqrt 5"],
        ["[0,1)", r"x \in [0,1)", r"0 \le x < 1", r"1 > x \geq 0"],
        [r"(3,\infty)", "x > 3", "3 < x", r"(3, +\infty)", "-x < -3"],
        [r"(-\infty,2)\cup(3,\infty)", r"(3,\infty) \cup (-\infty,2)", "x<2 or x>3"],
        [r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix} 1 \\ \frac{4}{2} \end{bmatrix}"],
        [r"\begin{pmatrix}2&4\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}+\begin{pmatrix}1&2\end{pmatrix}"],
        ["x^2+y^2=4", "y^2 = 4 - x^2", "2x^2+2y^2-8=0"],
        ["2 + 3 = 5", "5", "x = 2 + 3 = 5"],
        ["52_8", "52_{8}"],
        [r"x \ne 3", "x != 3", r"x \neq 3"],
        [r"\sin 30^\circ", "1/2"],
        ["7:32", "7 : 32", "7/32"],
        ["5", "5 m/s", "5 L", "5 m", "5 km/h", "5 m^2", r"5 \text{ m}^2", "5cm", "5 miles per hour", "5 kg/m^3", "5 $"],
        ["5", "5元", r"5\text{个}", "5 公里", "5平方米", "5。"],
        [
            "5000000",
            "5 million",
            "$5 million",
            r"5\text{ million people}",
            "5,000,000",
            "5.000.000",
            "500万",
            "0.005 billion",
        ],
        ["5", "5 dozen", "5 dozen eggs", "60/12 = 5 dozen"],
        ["6000", "2 * 3 thousand = 6 thousand", "6 thousand"],
        ["9:40 am", "9:40 a.m.", "09:40 AM", r"9:40\text{ a.m.}", r"9:40\,\text{am}."],
        ["5 pm", "5:00 p.m.", "5pm"],
        ["3 hours and 25 minutes", "3 hours 25 minutes", r"3 \text{ hours and } 25 \text{ minutes}", "3 hr, 25 min"],
        ["3 dollars and 25 cents", "$3.25", "13/4"],
        ["5 feet 3 inches", "5 ft 3 in", r"5\text{ feet }3\text{ inches}"],
        ["300000000", "3 x 10^8", r"3 \times 10^8", "3x10^8 m/s"],
        ["(1,000, 2,000)", r"(1{,}000, 2{,}000)", "(1000, 2000)", "x=1000, y=2000"],
        ["1,000, 2,000", "1000, 2000", r"\{1,000, 2,000\}"],
        ["(2,3)", r"x>2 \text{ and } x<3", "x<3 and x>2", r"x > 2 \land x < 3", "2<x<3"],
        ["x<2 and x>3", "x<2 or x>3"],
        ["2sqrt(3)", "2 sqrt(3)", r"2\sqrt{3}", "2*sqrt 3"],
        ["pi", r"\pi", "π", "x = pi"],
        [r"\log_2 3", r"\log_{2} 3", r"\log_2(3)", r"\log_{2}{3}"],
        [r"\sqrt{x^2}", "|x|", r"\left|-x\right|"],
        ["x", "x+0", r"\frac{2x}{2}"],
        [r"\binom{n}{2}", r"\frac{n(n-1)}{2}", "n(n-1)/2"],
        ["2^{100}", "1267650600228229401496703205376", r"\frac{2^{101}}{2}", r"1267650600228229401496703205376.0"],
        [r"\frac{1}{2^{70}}", "1/1180591620717411303424", r"2^{-70}"],
        [r"10^{30}", "1" + "0" * 30, r"\left(10^{10}\right)^3"],
    ],
)
def test_same_answer_same_key(same):
    keys = {canonical_key(text) for text in same}
    assert len(keys) == 1, {text: canonical_key(text) for text in same}
    assert None not in keys


@pytest.mark.parametrize(
    "texts",
    [
        ["1", "2", "-1", "1/3", "0.333", "(1,2)", "(2,1)", "[1,2)", "12,34", r"\{1,2\}", "1/0"],
        ["x", "y", "2x", "x>3", "x<3", "x>=3", "listen", "silent", r"\sqrt{2}", r"\sqrt{3}", "A", "a"],
        ["23", "2 3", "2, 3", "6"],
        ["1 4/5", "14/5", "1 - 4/5"],
        ["x=1, y=2", "x=2, y=1"],
        [r"\mathbf{i}+2\mathbf{j}", "1+2i", "2+i"],
        ["52_8", "52", "42"],
        ["7 = 11a + c", "11a + c"],
        ["10^{10}", "10^{11}"],
        # a letter behind a number is a variable
        ["2-3t", "-1", "2-3s", "2-3m"],
        ["2t", "2m", "2s", "2h", "2"],
        [r"\pi h", r"\pi", r"\pi r"],
        [r"\frac12 g", r"\frac12"],
        ["(1+2t, 3-4t)", "(3, -1)", "(3; -1)t"],
        ["3abc", "3", "3pqr", "3xyz"],
        # what carries value is no unit
        ["5", "5 million", "5 thousand", "5万", "5 squared"],
        ["9:40", "9:40 am", "9:40 pm", "10:40 am"],
        ["13:05", "9:05", "5", "5/13"],
        ["3:15", "1:05", "6:30", "9:45", "1/5"],
        ["3 hours and 25 minutes", "25 hours and 3 minutes", "3", "25", "3, 25"],
        ["(1,000, 2,000)", "(1,000)", "(1, 2)", "(1, 0, 2, 0)"],
        ["(12,102)", "12102", "(12, 10)", "(1, 102,103)"],
        ["x>2 and x<3", "x>2 or x<3", "x>=2 and x<3", "x>2"],
        ["x>a and x<b", "x>a or x<b"],
        ["3 by 5", "5 by 3", "15", "3", "5", "1 by 15"],
        ["1.000.000", "0", "1.0.0", "1"],
        # values at one point do not tell these apart
        [r"\lfloor n/2 \rfloor", r"\lfloor n/3 \rfloor", "0"],
        ["|x-2|", "2-x", "x-2"],
        ["|x|", "x", "-x"],
        ["|xy|", "x*y", "-xy", "|x|y"],
        ["y=|x|+a", "y=x+a"],
        ["|x|+y^2=4", "x+y^2=4"],
        # exact numbers
        ["2^{100}", "2^{100}-1", "2^{100}+1"],
        ["2^{9000}", "2^{9000}-1"],
        [r"\frac{1}{2^{100}}", r"\frac{1}{2^{100}-1}"],
    ],
)
def test_different_answers_have_different_keys(texts):
    assert len({canonical_key(text) for text in texts}) == len(texts)


def test_gold_answers_may_be_worked_solutions():
    assert gold_key("She makes 9 * 2 = <<9*2=18>>18 every day.\n#### 18") == "18"
    assert gold_key("142.0") == "142"
    assert gold_key("025") == "25"


@given(st.fractions(min_value=-1000, max_value=1000))
def test_fractions_and_their_latex_agree(value):
    sign = "-" if value < 0 else ""
    latex = rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    assert canonical_key(latex) == canonical_key(f"{value.numerator}/{value.denominator}") == str(value)


# ---- real files


@pytest.mark.skipif(not DATA.exists(), reason="benchmark files are not here")
def test_real_solutions_give_the_key_of_their_answer():
    rows = [json.loads(line) for line in (DATA / "math500_solutions_level1-3.jsonl").read_text().splitlines()]
    missed = [row["answer"] for row in rows if response_key(row["solution"]) != gold_key(row["answer"])]
    assert (len(rows), missed) == (238, [])
    rows = [json.loads(line) for line in (DATA / "gsm8k_test.jsonl").read_text().splitlines()]
    finals = [row["answer"].split("####")[1] for row in rows]
    assert [gold_key(row["answer"]) for row in rows] == [canonical_key(final) for final in finals]
    assert len(rows) == 1319
    rows = [json.loads(line) for line in (DATA / "math500.jsonl").read_text().splitlines()]
    assert None not in [gold_key(row["answer"]) for row in rows]


# ---- hostile text


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_survived(text):
    for wrapped in (text, rf"\boxed{{{text}}}", f"#### {text}"):
        key = response_key(wrapped)
        assert key is None or isinstance(key, str)


@pytest.mark.slow
def test_ten_thousand_hostile_strings_are_survived():
    for index, text in enumerate(make_fuzz(10_000, seed=0)):
        for answer_type in ("math", ANSWER_TYPES[index % len(ANSWER_TYPES)]):
            key = response_key(text, answer_type, ["left", "right"])
            assert key is None or isinstance(key, str)


BOMBS = [
    r"\boxed{" * 200_000,
    "{" * 1_000_000,
    "answer is " * 100_000,
    "answer" + " " * 1_000_000,
    "answer is" + "\n" * 1_000_000,
    r"\boxed{" + "{" * 400 + "}" * 400 + "}",
    r"\boxed{" + "(" * 140 + ")" * 140 + "}",
    r"\boxed{" + "(1," * 90 + ")" * 90 + "}",
    r"\boxed{" + r"1\pm" * 60 + "1}",
    r"\boxed{" + "1," * 490 + "}",
    r"\boxed{" + r"\sqrt{" * 45 + "2" + "}" * 45 + "}",
    "\x00\x1b[31m[bold]<script>" * 1000,
    r"\boxed{" + "9" * 900 + "!}",
    "The answer is " + "$1$, " * 4000,
    "#### " + "[/] " * 5000,
    "is " * 7000 + "3",
    "A = " * 5000,
    "1e99999999999",
    "x" * 3000 + " so 3",
    r"\boxed{(" + "a " * 300 + "= 1}",
    r"\boxed{" + "x=1, " * 190 + "}",
    r"\boxed{5" + " " * 900 + "x}",
    "\\[" * 9000 + "}",
    "$" * 20_000,
    "The answer is " + "a of " * 300,
    r"\boxed{0.\overline{" + "9" * 150 + "}}",
]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
@pytest.mark.parametrize("answer_type", ANSWER_TYPES)
def test_long_and_nested_text_does_not_hang(bomb, answer_type):
    start = time.perf_counter()
    response_key(bomb, answer_type, ["left", "right"])
    assert time.perf_counter() - start < 30  # a hang, not a speed


@pytest.mark.parametrize(
    "bomb",
    [
        "9^{9^{9^{9}}}",
        "10000000000!",
        "((10!)!)!",
        r"2^{2^{2^{2^{2^{2}}}}}",
        "10^{10^{10}}",
        r"\sum_{n=1}^{10^{12}} \frac{1}{n!}",
    ],
)
def test_what_cannot_be_worked_out_in_time_is_no_answer(bomb):
    start = time.perf_counter()
    key = response_key(rf"\boxed{{{bomb}}}")
    assert key is None or len(key) < 100
    assert time.perf_counter() - start < 30
    assert response_key(r"\boxed{\sqrt{9}}") == "3"  # the next one has a worker


def test_an_answer_is_asked_for_again_only_if_the_machine_was_at_fault(monkeypatch):
    def reply(*_):
        answer = next(replies)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(symbolic._Worker, "ask", reply)
    replies = iter([symbolic.SymbolicTimeoutError("hangs"), {"key": "7"}])
    assert [canonical_key(r"\sqrt{49} + 0\cdot 1237") for _ in range(3)] == [None, "7", "7"]
    replies = iter([{"no_answer": "given up"}])
    assert [canonical_key(r"\sqrt{49} + 0\cdot 1238") for _ in range(3)] == [None] * 3


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_worker_gives_up_on_cpu_time_alone_and_nothing_swallows_it(monkeypatch):
    from spine_rl.answers import symbolic_worker

    def wait(*_, **__):
        time.sleep(0.3)
        return []

    def swallow(*_, **__):  # as a library may
        try:
            while time.process_time() < end:
                pass
        except Exception:
            pass
        return []

    monkeypatch.setattr(symbolic_worker, "SOFT_TIMEOUT", 0.1)
    monkeypatch.setattr(symbolic_worker, "HARD_TIMEOUT", 60)
    before = signal.signal(signal.SIGPROF, symbolic_worker._give_up)
    try:
        monkeypatch.setattr(symbolic_worker, "parse", wait)
        assert symbolic_worker._reply('["value", "1"]') == {"key": None}
        end = time.process_time() + 5
        monkeypatch.setattr(symbolic_worker, "parse", swallow)
        assert symbolic_worker._reply('["value", "1"]') == {"no_answer": "given up"}
    finally:
        signal.signal(signal.SIGPROF, before)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_no_worker_is_left_behind():
    code = (
        "from spine_rl.answers import symbolic; symbolic.compute_symbolic_key('x^2');"
        "print([w._process.pid for w in symbolic._POOL._workers if w._process][0], flush=True);"
        "symbolic.compute_symbolic_key('9^{9^{9^{9}}}')"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = Path("/proc") / parent.stdout.readline().strip()
    assert worker.exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 60
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not worker.exists()


@pytest.mark.parametrize("answer_type", ANSWER_TYPES)
@pytest.mark.parametrize("part", ["A}", "factorial", "[<|", "1, "])
def test_an_answer_of_twenty_thousand_characters_has_no_key_and_takes_no_time(answer_type, part):
    start = time.process_time()
    assert canonical_key(part * (20_000 // len(part)), answer_type, ("1", "2")) is None
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("rule", ["-" * 24, "=" * 24 + " ", "→" * 24, "# " * 12, "-" + " " * 10_000])
def test_a_ruled_line_takes_no_time(rule):
    start = time.process_time()
    assert response_key(f"{rule}x", "choice") is None
    assert response_key(f"{rule}B", "choice") == "B"
    assert time.process_time() - start < 0.5  # it doubled with every dash; 24 took 2 s


def test_a_long_line_behind_hashes_takes_no_time():
    start = time.process_time()
    assert response_key("#### " + ":" * 19_000, "number") is None
    assert time.process_time() - start < 1  # it took more than 8


def test_a_thousand_delimiters_take_no_time():
    start = time.process_time()
    assert canonical_key("#" + "`" * 900 + "1") == "#1"
    assert time.process_time() - start < 0.3  # it took 1.2


@pytest.mark.parametrize("row", ["A = ", "I`", "A, "])
def test_a_long_row_of_letters_takes_no_time(row):
    start = time.process_time()
    response_key(row * (20_000 // len(row)), "choice", complete=False)
    assert time.process_time() - start < 0.5  # it took 1.0 to more than 8


def test_stopped_workers_start_again():
    stop_workers()
    assert compute_symbolic_key(r"\sqrt{16}") == "4"
