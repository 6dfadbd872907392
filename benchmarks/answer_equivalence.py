"""math-verify's published equivalence cases, judged by math-verify and by SPINE's keys.

    git clone https://github.com/huggingface/Math-Verify
    python benchmarks/answer_equivalence.py Math-Verify/tests [--show]

A case is a gold text, a predicted text and whether they should be equal. math-verify compares the pair; SPINE compares
keys, each worked out without sight of the other. The cases themselves are not part of this repository.
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
from rich.console import Console
from rich.markup import escape

from spine_rl.answers import gold_key, response_key

Case = tuple[str, str, int]


def read_cases(folder: Path) -> Iterator[Case]:
    """The (gold, predicted, expected) of every parametrised test that has them."""
    for path in sorted(folder.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parametrize"):
                continue
            names = [name.strip() for name in ast.literal_eval(node.args[0]).split(",")]
            if names[:2] != ["gold", "pred"]:
                continue
            for row in node.args[1].elts:  # type: ignore[attr-defined]
                values = [eval_text(value) for value in row.elts]
                expected = values[-1] if names[-1] in ("expected", "result") else values[2]
                yield str(values[0]), str(values[1]), int(expected)


def eval_text(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:  # an f-string that computes a number
        return "4.123105625617661" if "17):" in ast.unparse(node) else r"$\sqrt{17}$"


def judge_math_verify(gold: str, predicted: str) -> bool:
    targets = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    return verify(parse(gold, targets), parse(predicted, targets), float_rounding=6)


def judge_spine(gold: str, predicted: str) -> bool:
    key = gold_key(gold)
    return key is not None and key == response_key(predicted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", type=Path)
    parser.add_argument("--show", action="store_true", help="print the cases that SPINE misses")
    arguments = parser.parse_args()
    cases = list(dict.fromkeys(read_cases(arguments.tests)))
    theirs = [judge_math_verify(gold, predicted) == bool(expected) for gold, predicted, expected in cases]
    ours = [judge_spine(gold, predicted) == bool(expected) for gold, predicted, expected in cases]
    console = Console()
    if arguments.show:
        for (gold, predicted, expected), right in zip(cases, ours, strict=True):
            if not right:
                keys = gold_key(gold), response_key(predicted)
                console.print(escape(f"expected {expected}: {gold[-120:]!r} | {predicted[-160:]!r} | keys {keys}"))
    console.print(f"{len(cases)} cases: math-verify {sum(theirs)}, SPINE {sum(ours)}")


if __name__ == "__main__":
    main()
