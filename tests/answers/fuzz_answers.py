"""Hostile responses for the answer tests: fragments of LaTeX, markup and text put together at random."""

import random

FRAGMENTS = [
    "\\boxed{", "}", "{", "####", "answer is ", "答案：", "\\frac", "\\sqrt", "^", "^{", "_", "!", "9" * 30,
    "9^{9^{9", "\\pm", "\\cup", "\\in", "(", ")", "[", "]", "\\{", "\\}", ",", ";", "=", "<", ">", "\\le", "$",
    "$$", "\\(", "\\)", "\\[", "\\]", "\\begin{pmatrix}", "\\end{pmatrix}", "&", "\\\\", "\\text{", "\\left",
    "\\right", "x", "e", "i", "\\pi", "\\infty", "1", "0", "-", "+", "*", "/", ".", "%", "\\circ", " and ",
    " or ", "\n", "\x00", "\x1b[31m", "[bold]", "[/]", "<script>", "</think>", "<|im_end|>", "\u202e",
    "\ud83d\ude00", "٣", "½", "log", "sin", "\\sum_{n=1}^{", "\\int_0^1", "\\lim", "factorial",
    "__import__('os')", "1e999999", "10^{10^{10}}", "(((((", "\\binom{", "\\mod", "\\overline{", "|", "'", '"',
    "`", "~", "\\!", "\\,",
]  # fmt: skip


def make_fuzz(num_strings: int, seed: int) -> list[str]:
    """Strings of 1 to 30 fragments, most of them where an answer is looked for."""
    rng = random.Random(seed)
    wrappers = ["{}", "\\boxed{{{}}}", "#### {}", "The answer is {}", "The answer is ${}$.", "Step.\n\n{}"]
    return [
        rng.choice(wrappers).format("".join(rng.choices(FRAGMENTS, k=rng.randint(1, 30)))) for _ in range(num_strings)
    ]
