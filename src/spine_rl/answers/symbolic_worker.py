"""The process behind `spine_rl.answers.symbolic`: a line of JSON in (LaTeX), a line of JSON out (a key, or null).

An expression's key is its value: exact for rational numbers, to 12 significant digits for others, with each variable
set to a fixed number that depends on its name. Equal expressions have equal values; unequal ones only by accident.
Tuples, sets, intervals, matrices and relations are keyed part by part.
"""

import contextlib
import hashlib
import json
import os
import signal
import sys
from fractions import Fraction

import sympy
from math_verify import LatexExtractionConfig, parse

MEMORY_LIMIT = 2 << 30  # bytes
SELF_DESTRUCT = 10  # seconds an answer: should the parent be gone, nothing is left behind


def compute_key(latex: str) -> str | None:
    """The key of what math-verify reads in the text; None if that is nothing, or has no value."""
    found = parse(f"${latex}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=0)
    return _key(found[0]) if found and isinstance(found[0], sympy.Basic | sympy.MatrixBase) else None


def _key(expression: sympy.Basic | sympy.MatrixBase) -> str | None:
    if isinstance(expression, sympy.MatrixBase):
        return _join(f"matrix{expression.shape}", expression)
    if isinstance(expression, sympy.FiniteSet):
        parts = [_key(part) for part in expression.args]
        return None if None in parts else f"set({','.join(sorted(set(filter(None, parts))))})"
    if isinstance(expression, sympy.Interval):
        ends = _join("interval", (expression.start, expression.end))
        return None if ends is None else f"{ends}{bool(expression.left_open):d}{bool(expression.right_open):d}"
    if isinstance(expression, sympy.Equality) and expression.lhs.is_Symbol:
        return _key(expression.rhs)  # x = 3 and x ∈ [0, 1] answer with what x is
    if isinstance(expression, sympy.Tuple | sympy.Union | sympy.Intersection | sympy.core.relational.Relational):
        return _join(type(expression).__name__, expression.args)
    return _value(expression)


def _join(name: str, parts) -> str | None:
    keys = [_key(part) for part in parts]
    return None if None in keys else f"{name}({','.join(filter(None, keys))})"


def _value(expression: sympy.Basic) -> str | None:
    if expression in (sympy.oo, -sympy.oo):
        return str(expression)
    symbols = expression.free_symbols
    value = sympy.N(expression, 30, subs={symbol: _number_for(str(symbol)) for symbol in symbols})
    if not value.is_number or not value.is_finite:
        return None
    real, imaginary = value.as_real_imag()
    if symbols:
        return f"f({_digits(real)},{_digits(imaginary)})"
    return _number(real) if abs(imaginary) < 1e-20 else f"{_number(real)}+{_number(imaginary)}i"


def _number_for(name: str) -> sympy.Expr:
    """A fixed number between 1 and 2 for a variable."""
    digits = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=12).digest(), "big")
    return 1 + sympy.Float(digits, 30) / sympy.Float(2**96, 30)


def _number(value: sympy.Expr) -> str:
    exact = Fraction(str(value)).limit_denominator(10**6)
    near = abs(value - sympy.Rational(exact.numerator, exact.denominator)) < 1e-18 * max(1, abs(value))
    return str(exact) if near else _digits(value)


def _digits(value: sympy.Expr) -> str:
    return f"{float(value):.12g}"


def _limit_resources() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not look like an answer
    _limit_resources()
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        if hasattr(signal, "alarm"):
            signal.alarm(SELF_DESTRUCT)
        try:
            key = compute_key(json.loads(line))
        except Exception:  # sympy raises of every kind on what it cannot read; that is no answer
            key = None
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        answers.write(json.dumps(key) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
