"""Forms that answers take in models' responses, a kind a list: what a careful reader would take is taken."""

import pytest

from spine_rl.answers import canonical_key, infer_answer_type, response_key

OPTIONS = ("w", "x", "y", "z")

LETTERS = [
    ("a code fence", "```\nD\n```", "D"),
    ("a code fence", "```text\nAnswer: B\n```", "B"),
    ("a code fence", "~~~\nB\n~~~", "B"),
    ("a mark before it", "> **B**", "B"),
    ("a mark before it", "- B", "B"),
    ("a mark before it", "=> B", "B"),
    ("a mark before it", "∴ B", "B"),
    ("a mark before it", "Answer → B", "B"),
    ("a table", "| Answer | B |", "B"),
    ("colours", "\x1b[1mAnswer: \x1b[32mB\x1b[0m", "B"),
    ("a small letter in brackets", "It's (c).", "C"),
    ("a small letter in brackets", "Hence option (d) is correct.", "D"),
    ("a wrapper in brackets", "\\boxed{(\\mathrm{C})}", "C"),
    ("the last sentence concludes", "A, B and C are wrong. Therefore D.", "D"),
    ("the last sentence concludes", "I would eliminate A, C and D, leaving B.", "B"),
    ("the last sentence concludes", "Option A: No. Option B: No. Option C: Yes. So C.", "C"),
    ("one denied, one said", "The answer is not A but C.", "C"),
    ("one denied, one said", "La réponse n'est pas A mais B.", "B"),
    ("one denied, one said", "Die Antwort ist nicht A, sondern B.", "B"),
    ("said in other words", "A is tempting. But B fits best.", "B"),
    ("said in other words", "Only B satisfies both conditions.", "B"),
    ("said in other words", "I'll say B.", "B"),
    ("an apostrophe in a word", "C'est la réponse B.", "B"),
    ("an apostrophe in a word", "Je pense que c'est B.", "B"),
    ("an apostrophe in a word", "D isn't correct, A is correct.", "A"),
    ("a German order of words", "Daher ist B richtig.", "B"),
    ("options one after another say none", "Option A: No. Option B: Yes.", None),
    ("options one after another say none", "A. w B. x C. y D. z", None),
    ("options one after another say none", "A. w is wrong. B. x is wrong. So C. y is correct.", "C"),
    ("a label before it", "Conclusion: B", "B"),
    ("a label before it", "Verdict: (B).", "B"),
    ("a label before it", "Svar: B", "B"),
    ("a label before it", "Result: B. x", "B"),
    ("a label before it", "Ans. (B)", "B"),
    ("a label that denies", "Incorrect options: A", None),
    ("a label that denies", "Eliminated: A", None),
    ("said in other words", "Among these, B is the most suitable.", "B"),
    ("said in other words", "By process of elimination, B.", "B"),
    ("said in other words", "B is most likely wrong.", None),
    ("a heading", "# B", "B"),
    ("wrong options after it", "Answer: B\n\nOption A is wrong because w is hot.\nOption C is wrong, too.", "B"),
    ("wrong options after it", "Answer: B\n\n- Option A: w is hot\n- Option C: y is cold", "B"),
    ("wrong options after it", "Option A: incorrect.\nOption B: correct.\nOption C: incorrect.", None),
    ("an arrow", "Answer -> B", "B"),
    ("an emblem", "**Answer:** ✅ B", "B"),
    ("an emblem", "👉 B", "B"),
    ("Arabic", "الإجابة الصحيحة هي B", "B"),
    ("Arabic", "الجواب: B", "B"),
    ("Hindi", "सही उत्तर: (B)", "B"),
    ("Hindi", "उत्तर B है", "B"),
    ("Bengali", "সঠিক উত্তর হল B", "B"),
    ("Vietnamese", "Đáp án đúng là B.", "B"),
    ("Vietnamese", "Câu trả lời là B", "B"),
    ("Indonesian", "Jawaban yang benar adalah B.", "B"),
    ("Turkish", "Doğru cevap B", "B"),
    ("Polish", "Prawidłowa odpowiedź to B.", "B"),
    ("Dutch", "Het antwoord is B", "B"),
    ("Swahili", "Jibu ni B", "B"),
    ("Thai", "คำตอบที่ถูกต้องคือ B", "B"),
]

VALUES = [
    ("a code fence", "number", "```\n42\n```", "42"),
    ("colours", "number", "The answer is \x1b[1m42\x1b[0m.", "42"),
    ("colours", "number", "\x1b]0;99\x07It is 5.", "5"),
    ("a sign in words", "number", "minus five", "-5"),
    ("a sign in words", "number", "The answer is negative 5.", "-5"),
    ("a difference has no sign", "number", "The answer is 8 minus 5 = 3.", "3"),
    ("a decimal comma", "number", "Die Antwort ist 3,5.", "7/2"),
    ("a decimal comma", "number", "La réponse est 3,14.", "157/50"),
    ("a decimal comma", "number", "The total is €1.234,50", "2469/2"),
    ("groups by commas stay", "number", "The answer is 12,345.", "12345"),
    ("raised signs", "number", "10⁻³", "1/1000"),
    ("raised signs", "number", "2¹⁰", "1024"),
    ("fractions as characters", "number", "½", "1/2"),
    ("fractions as characters", "number", "2½", "5/2"),
    ("an aside in a box", "math", "\\boxed{3 \\, (\\text{since } x>0)}", "3"),
    ("an arrow before it", "math", "=> 42", "42"),
    ("an arrow before it", "math", "∴ x = 42", "42"),
    ("an arrow before it", "math", "$\\therefore x = 42$", "42"),
    ("a calculator's note", "math", "She has 6 * 7 = <<6*7=42>>42", "42"),
    ("a remark behind it", "math", "The answer is 12, which is 3 times 4.", "12"),
    ("a remark behind it", "math", "The answer is $12$, since there are $3$ boxes.", "12"),
    ("a remark behind it", "math", "There are 12 apples, since each of the 3 boxes has 4.", "12"),
    ("a remark behind it", "number", "The answer is twelve, because 3 boxes hold 4.", "12"),
    ("a remark in other words", "number", "The answer is 2 hours, which is 120 minutes.", "120"),
    ("a reason before it", "math", "Since 3 boxes hold 4 each, the total is 12.", "12"),
    ("working behind it", "math", "Answer: 42 (6 × 7)", "42"),
    ("words in a box before it", "math", "\\boxed{\\text{The answer is } 42}", "42"),
    ("words in a box before it", "math", "\\boxed{\\text{Total: }42 \\text{ apples}}", "42"),
    ("a refusal in a box", "math", "\\boxed{\\text{Cannot be determined}}", None),
    ("an exact value and its rounding", "math", "\\boxed{\\frac{2}{3} \\approx 0.667}", "2/3"),
    ("an exact value and its rounding", "math", "The answer is 2/3 ≈ 0.667", "2/3"),
    ("an exact value and its rounding", "math", "The answer is \\(\\frac{2}{3}\\), or about 66.7%.", "2/3"),
    ("a rounding is the answer", "math", "\\boxed{x \\approx 0.67}", "67/100"),
    ("a rounding is the answer", "math", "\\boxed{7.5 \\approx 8}", "8"),
    ("rows within a display", "math", "So\n\\[\\begin{aligned}\nx &= 2 + 3 \\\\\n&= 5.\n\\end{aligned}\\]", "5"),
    ("rows within a display", "math", "So\n$$\\begin{array}{rl}\nx &= 2 + 3 \\\\\n&= 5\n\\end{array}$$", "5"),
    (
        "rows that end in a matrix",
        "math",
        "So\n\\begin{align*}\nA &= 2B \\\\\n&= \\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}\n\\end{align*}",
        "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
    ),
    ("groups in a sentence", "number", "So in all there are 240 000 of them.", "240000"),
    ("groups in a sentence", "number", "So in all there are 1\u202f128 of them.", "1128"),
    ("groups in a sentence", "number", "So in all there are 1{,}128 \\text{ apples}.", "1128"),
    ("units in a sentence", "number", "So the area that she needs is 12\\text{ cm}^2 there.", "12"),
    ("exponents in a sentence", "number", "So in all there are 2.4e5 of them.", "240000"),
    ("a mixed number in a sentence", "number", "She walks 3 1/2 miles.", "7/2"),
    ("bold by underscores", "number", "She makes __18__ every day.", "18"),
    ("a sum in a sentence", "math", "It simplifies to a + 5", "a + 5"),
    ("a rate", "number", "She earns $18/day.", "18"),
    ("a rate", "number", "Answer: $18/day", "18"),
    ("out of", "number", "The answer is 18 out of 20.", "18"),
    ("out of", "number", "\\boxed{18 \\text{ out of } 20}", "18"),
    ("a base in words", "math", "The answer is 52 in base 8.", "52_8"),
    ("a base in words", "math", "The answer is 52 (base 8).", "52_8"),
    ("a base in words", "math", "It is 110 in base two.", "110_2"),
    ("what follows at the end", "number", "There are 12 in a dozen, so 24.", "24"),
    ("the last of a list", "number", "1. 3 + 4 = 7.\n2. So 14 in all.\n3. Done.", None),
    ("the last of a list", "number", "**Step 1:** 3 + 4 = 7.\n**Step 2:** So fourteen.", "14"),
    ("no list", "number", "12. That is all.", "12"),
    ("an aside in brackets", "number", "My answer: 14 [confidence: 90%]", "14"),
    ("a fraction in words", "number", "The answer is two and a half.", "5/2"),
    ("a fraction in words", "number", "So she walks two and three quarters miles.", "11/4"),
    ("a fraction in words", "number", "\\boxed{\\text{one half}}", "1/2"),
    ("words in a box", "number", "\\boxed{\\text{fourteen apples}}", "14"),
    ("an abbreviation ends no sentence", "text", "Answer: St. Louis. It is a city.", "St. Louis"),
    ("an abbreviation ends no sentence", "text", "The answer is J.K. Rowling.", "J.K. Rowling"),
    ("a letter ends one", "text", "The answer is vitamin C. It is known.", "vitamin C"),
    ("its reasons after it", "text", "Paris\n\nExplanation: It is the capital.", "Paris"),
    ("its reasons after it", "text", "巴黎\n解释：它是首都。", "巴黎"),
    ("its reasons after it", "number", "There are 14.\n\n**Explanation:** 7 times 2 is 14 and not 15.", "14"),
    ("a question before the reasons", "number", "How many in 3 boxes?\nReason: 3 * 4 = 12\nSo 12.", "12"),
    ("other scripts", "math", "الإجابة: 42", "42"),
    ("other scripts", "math", "إذن الجواب ٤٢", "42"),
    ("other scripts", "math", "उत्तर ४२ है।", "42"),
    ("other scripts", "math", "คำตอบคือ 42", "42"),
    ("other scripts", "math", "జవాబు: 42", "42"),
    ("other scripts", "math", "Απάντηση: 42", "42"),
    ("the first line says it", "yes_no", "Yes\n\nThe study found no significant difference.", "yes"),
    ("the first line says it", "yes_no", "No, it is not.\n\nThe effect was small.", "no"),
    ("the first line says it, corrected", "yes_no", "No, wait.\nThe answer is yes.", "yes"),
    ("no as a word", "yes_no", "No difference was found.\n\nThe groups are alike.", None),
    ("yes and no", "yes_no", "Yes and no.", None),
    ("Chinese words", "yes_no", "不，这不对。", "no"),
    ("Chinese words", "yes_no", "对。", "yes"),
    ("Chinese words", "yes_no", "不正确", "no"),
    ("Chinese words", "yes_no", "答案：不确定", "maybe"),
    ("Chinese words", "yes_no", "答案：可能是", "maybe"),
    ("Chinese words", "yes_no", "对不起", None),
]

SAME = [
    ["\\varnothing", "\\emptyset", "∅", "\\{\\}"],
    ["\\mathbb{R}", "\\Bbb R", "ℝ", "(-\\infty,\\infty)", "x \\in \\mathbb{R}"],
    ["\\sin^2 x+\\cos^2 x", "1", "\\frac{x}{x}"],
    [
        "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
        "A^{-1} = \\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
        "A = \\frac12 \\begin{pmatrix} 2 & 4 \\\\ 6 & 8 \\end{pmatrix}",
        "\\begin{pmatrix*}[r] 1 & 2 \\cr 3 & 4 \\end{pmatrix*}",
        "\\left(\\begin{smallmatrix} 1 & 2 \\\\ 3 & 4 \\end{smallmatrix}\\right)",
        "[[1, 2], [3, 4]]",
    ],
    ["\\begin{pmatrix} x \\\\ y \\end{pmatrix} = \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "[[1], [2]]"],
    ["\\(p - q\\)", "p - q"],
    ["110 in base two", "110_2"],
    ["one and a half", "1.5"],
    ["12_{10}", "12"],
    ["]2,5[", "(2,5)"],
    ["[2;5[", "[2,5)"],
    ["]2,5] \\cup [7, 9[", "(2,5] \\cup [7,9)"],
    ["0.333\\ldots", "0.33...", "\\frac13"],
    ["0.1212...", "\\frac{12}{99}"],
    ["3 (mod 7)", "3 \\pmod 7", "3 \\pmod{7}"],
    ["1.234,5", "1234.5"],
    ["x⁵", "x^5"],
    ["x¹⁰", "x^{10}"],
    ["5√13", "5\\sqrt13", "5\\sqrt{13}", "5*sqrt(13)"],
    ["(1+√17)/4", "\\frac{1+\\sqrt 17}{4}"],
    ["√(2+3)", "sqrt(5)", "\\sqrt5"],
    ["sqrt((a+b)^2+1)", "\\sqrt{(a+b)^2+1}"],
    ["∛2", "\\sqrt[3]2", "2^{1/3}"],
    ["1.5×10^-3", "0.0015"],
    ["⅛", "1/8"],
    ["2λ+1", "2\\lambda + 1"],
    ["log₂8", "3"],
    ["θ", "\\theta"],
    ["A∩B", "A \\cap B"],
    ["⌊x⌋", "\\lfloor x \\rfloor"],
    ["△ABC", "\\triangle ABC"],
    ["\\varphi", "\\phi"],
    ["1,2,...,10", "1, 2, …, 10", "1, 2, \\dots, 10"],
    ["\\{x \\mid x > 2\\}", "{x | x > 2}", "(2,\\infty)"],
    ["\\begin{cases} x=1 \\\\ y=2 \\end{cases}", "(1,2)"],
    ["\\sqrt{-1}", "i"],
    ["2\\sqrt3 \\approx 3.46", "2\\sqrt3"],
    ["5 Ω", "5 \\Omega", "5 ohms"],
    ["300 K", "300"],
    ["5\\text{ N}\\cdot\\text{m}", "5 N·m", "5"],
    ["24 sq. cm", "24"],
    ["\\mathbf{\\frac{1}{2}}", "\\boldsymbol{\\dfrac{1}{2}}", "1/2"],
    ["\\textcolor{red}{2}", "{\\bf 2}", "\\large 2", "\\underline{2}", "“2”", "*2*", "2"],
    ["USD 2.50", "Rs. 2.50", "$2.50", "2.5"],
    ["50¢", "50 cents", "50"],
    ["\\text{All real numbers}", "all reals", "ℝ"],
    ["\\lbrace 1,2 \\rbrace", "1, 2"],
]

DIFFERENT = [
    ["2A = \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "A = \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"],
    ["[[1, 2], [3, 4]]", "[[1, 3], [2, 4]]", "[1, 2], [3, 4]"],
    ["12_{10}", "12_8"],
    ["\\mathbb{R}", "R", "\\mathbb{Z}"],
    ["2 \\pmod 5", "2 \\pmod 7", "2"],
    ["]2,5[", "[2,5]", "]2,5]"],
    ["[1,2], 3, [4,5]", "[1,2], [4,5]"],
    ["0.333", "0.333..."],
    ["1.4142...", "\\sqrt 2"],
    ["\\sin^2 x", "\\cos^2 x", "1"],
    ["1,2", "1.2", "12"],
    ["3√13", "9", "3\\sqrt{1}"],
    ["\\alpha", "\\beta", "a"],
    ["A \\cap B", "A \\cup B"],
    ["1,2,...,10", "1,2,10"],
]


@pytest.mark.parametrize(("kind", "text", "right"), LETTERS)
def test_a_letter_is_read(kind, text, right):
    assert response_key(text, "choice", OPTIONS) == right, kind


@pytest.mark.parametrize(("kind", "answer_type", "text", "right"), VALUES)
def test_a_value_is_read(kind, answer_type, text, right):
    assert response_key(text, answer_type) == (right and canonical_key(right, answer_type)), kind


@pytest.mark.parametrize("answers", SAME)
def test_one_answer_has_one_key(answers):
    keys = {answer: canonical_key(answer, "math") for answer in answers}
    assert None not in keys.values(), keys
    assert len(set(keys.values())) == 1, keys


@pytest.mark.parametrize("answers", DIFFERENT)
def test_what_differs_has_keys_of_its_own(answers):
    keys = {answer: canonical_key(answer, "math") for answer in answers}
    assert len(set(keys.values())) == len(answers), keys


def test_points_behind_words_leave_their_type():
    assert infer_answer_type(["New York", "St. Louis"]) == "text"
    assert infer_answer_type(["Yes.", "No."]) == "yes_no"
    assert infer_answer_type(["St. Louis", "x + y"]) == "math"


def test_a_list_of_two_numbers_is_not_taken_for_one_with_a_decimal_comma():
    assert infer_answer_type(["3", "1,2"]) == "math"
    assert infer_answer_type(["3", "1,200"]) == "number"
