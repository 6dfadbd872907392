"""What must not be merged, and what must be: tables of answers to mathematics, a row for each kind of fault found."""

import os
import signal

import pytest

from spine_rl.answers import canonical_key, response_key


@pytest.mark.parametrize(
    "texts",
    [
        # case is meaning
        [r"\frac{R}{r}", r"\frac{r}{R}", r"\frac{V}{v}", "1"],
        ["x+X", "2x", "2X"],
        ["Aa", "AA", "aa"],
        ["AB", "ab", "Ab"],
        [r"\gamma + 1", r"\Gamma + 1", "0.577215664901533+1"],
        ["2E", "2e", r"2\exp(1)E"],
        ["x'", "x", "x''"],
        ["f'(x)", "f(x)"],
        ["I", "i", "2I", "2i"],
        # ratios
        ["1:2:3", "1:3:2", "2:3:4", "1:6"],
        [r"1:\sqrt{3}:2", r"1:2:\sqrt{3}", r"\sqrt{3}:1:2"],
        ["3:2", "2:3"],
        ["30-60-90", "-120"],
        # scores, spans and dates
        ["3-1", "2-0", "2"],
        ["2024-01-05", "2024-05-01", "2018"],
        ["01/05/2024", "05/01/2024", "1/10120"],
        ["2019–2021", "-2"],
        # an equation with no unknown is what it computes
        [r"50\tan 40^\circ = 41.95", r"60\tan 40^\circ = 50.35"],
        [r"\log_2 8 = 3", r"\log_2 16 = 4", "1"],
        # curves are no values
        ["x+y=5", "5"],
        [r"\log_6 (x-y) + \log_6 (x+y) = 2", "2"],
        [r"\cos x = 1/2", "1/2"],
        ["x^2 + y^2 = 4", "4"],
        # units of one kind
        [r"5\text{ m}", r"5\text{ km}", r"5\text{ mm}"],
        ["5 g", "5 kg", "5 mg"],
        ["2 L", "2 mL"],
        ["3 V", "3 kV", "3 mV"],
        # degrees count under a function
        ["sin(30°)", r"\sin(30)"],
        # letters side by side
        ["xy", "xz", "x"],
        ["(3)(5)", "8", "3,5"],
        # numbers in words
        ["third", "1/3"],
        ["twenty-third", "20/3"],
        ["four five", "9"],
        ["two thousand million", "1002000"],
    ],
)
def test_what_differs_has_different_keys(texts):
    keys = [canonical_key(text) for text in texts]
    assert len(set(keys)) == len(texts), dict(zip(texts, keys, strict=True))


@pytest.mark.parametrize(
    "texts",
    [
        ["0.1*0.2*0.5", "0.01", r"\frac{1}{100}", "(0.2)^2(1.25)(0.2)"],  # decimals are no binary fractions
        ["0.1+0.2", "0.3"],
        ["3:2", "6:4", "3/2", "1.5", r"\frac{3}{2}", "3 : 2"],
        ["1:2:3", "2:4:6", "1 : 2 : 3", r"\frac12:1:\frac32", "0.5:1:1.5"],
        [r"1:\sqrt{3}:2", r"2:2\sqrt{3}:4", r"1 : \sqrt 3 : 2"],
        ["(3)(5)", "15", "3(5)", "(3)5", r"3\left(5\right)", r"(3)\cdot(5)", "{3}{5}"],
        ["(1/2)(3)", "3/2", r"\left(\frac12\right)(3)"],
        ["5(2)^3", "40"],
        ["2(21)(19)", "798"],
        [r"\tg x", r"\tan x"],
        [r"\lg 100", "2"],
        ["xy", "yx", r"x \cdot y", "x*y"],
        ["m+n = 113", "113", "a + b + c = 113", "mn = 113"],
        [r"\angle ABC=30^\circ", "30", r"m\angle ABC = 30", r"\angle ABC = 30°"],
        [r"\overline{AB}=5", "5", "AB = 5", "|AB| = 5", r"\vec{a}\cdot\vec{b} = 5", "5 = x", "[ABC] = 5"],
        [r"\cos A = \frac12", "1/2", r"\tan\theta = 0.5", r"P(A|B) = \frac{1}{2}", r"\frac{AB}{CD} = \frac12"],
        [r"\lim_{x\to 0} f(x) = 3", "3", r"\int_0^1 3 dx = 3", r"\sum_{k=1}^{3} k = 3"],
        [r"x \approx 3.25", "3.25", "x ≈ 3.25", "≈ 3.25"],
        [r"50\tan 40^\circ = 41.95", "41.95"],
        ["5 km", r"5 \text{ km}", "5000 m", r"5\,\mathrm{km}", "5km", "x = 5 km"],
        [r"2\sqrt{3}\text{ km}", r"2000\sqrt{3}"],
        ["25^\\circ C", "25", "25°C", "25 ℃", r"25^{\circ}\text{C}"],
        ["121", "one hundred and twenty-one", "one hundred twenty one", "一百二十一"],
        ["2/3", "two thirds", "two-thirds"],
        ["20500", "twenty thousand five hundred", "两万零五百"],
        ["(3-1)", "2", "3 - 1"],
        [r"\sum_{n=1}^{\infty} \frac{1}{n^2}", r"\frac{\pi^2}{6}"],
        [r"\lim_{x \to 0} \frac{\sin x}{x}", "1"],
        [r"\sum_{k=1}^{10} k^2", "385"],
        ["2024-01-05", "2024-1-5"],
        ["East", "east", r"\text{east}", "EAST"],
        ["Cannot win", "cannot win"],
    ],
)
def test_what_is_equal_has_one_key(texts):
    keys = {text: canonical_key(text) for text in texts}
    assert len(set(keys.values())) == 1, keys
    assert None not in keys.values()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{4000g}", "4000"),
        (r"\boxed{3.35V}", "67/20"),
        (r"\boxed{5 km}", "5"),
        (r"\boxed{12m/s}", "12"),
        (r"\boxed{m+n = 113}", "113"),
        (r"\boxed{x + y = 7}", "7"),
        (r"\boxed{x = 3 + 4 = 7}", "7"),
        (r"\boxed{x}", None),
    ],
)
def test_a_number_type_reads_the_number(text, expected):
    assert response_key(text, "number") == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_series_that_cannot_be_had_costs_little_and_ends_no_worker(monkeypatch):
    from spine_rl.answers import symbolic_worker

    monkeypatch.setattr(symbolic_worker, "compute_key", lambda *_: wait())

    def wait():
        try:
            while True:
                pass
        except BaseException:  # as a library may
            return "7"

    started = sum(os.times()[2:4])
    before = signal.signal(signal.SIGPROF, symbolic_worker._give_up)
    try:
        reply = symbolic_worker._reply_in_fork('["value", "\\\\sum_{n=1}^{9} n"]')
    finally:
        signal.signal(signal.SIGPROF, before)
    assert reply == {"no_answer": "given up"}
    assert sum(os.times()[2:4]) - started < 1.5


def test_a_number_type_keeps_no_part_of_an_expression():
    texts = [r"\boxed{2\sqrt{3} cm}", r"\boxed{3}", r"\boxed{2}", r"\boxed{2x}", r"\boxed{3x}", r"\boxed{2\pi}"]
    assert len({response_key(text, "number") for text in texts}) == len(texts)
    texts = ["So the area is 2√3 cm", "So the area is 3 cm", "So it is 2\\sqrt{3} metres", "It makes 3! ways"]
    assert [response_key(text, "number") for text in texts] == ["3.46410161514", "3", "3.46410161514", "6"]


def test_signs_and_relations_count_in_text():
    different = ["<5 mm", ">5 mm", "5 mm", "≤5 mm", "-5 mm", ".5 mm", "C", "C#", "C++", "1:2", "12", "5%"]
    assert len({canonical_key(text, "text") for text in different}) == len(different)
    assert canonical_key("> 5 mm", "text") == canonical_key(">5 mm", "text")
    assert canonical_key(r"\leq 5", "text") == canonical_key("≤5", "text")
    assert canonical_key("−5", "text") == canonical_key("-5", "text")
