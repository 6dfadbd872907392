"""The process behind `spine_rl.answers.symbolic`: a line of JSON in (kind, LaTeX), a line of JSON out.

An expression's key is its value: exact for rational numbers, to 12 significant digits for others, with each variable
set to a fixed number that depends on its name. Equal expressions have equal values; unequal ones only by accident.
"""

import hashlib
import json
import os
import signal
import sys
from fractions import Fraction

import sympy
from math_verify import LatexExtractionConfig, parse

MEMORY_LIMIT = 2 << 30  # bytes
SOFT_TIMEOUT = 1.5  # CPU seconds: given up here, without losing the process, where Python can be interrupted
HARD_TIMEOUT = 2.5  # CPU seconds: the process ends where it cannot be, be its parent there or gone
WARM_UP = r"\frac{\sqrt{2}}{3} + \log x^2"  # the first expression takes many times as long as any later one


class _GiveUpError(BaseException):
    """No `Exception`: math-verify swallows those, and what took too long would look like what is no mathematics."""


def compute_key(kind: str, latex: str) -> str | None:
    """The key of what math-verify reads in the text; None if that is nothing, or has no value."""
    found = parse(f"${latex}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=0)
    if not found or not isinstance(found[0], sympy.Expr | sympy.MatrixBase):
        return None
    expression = _make_exact(found[0].doit() if found[0].is_Matrix else found[0])
    if isinstance(expression, sympy.MatrixBase):
        return _matrix_key(expression)
    return _value_key(expression) if kind == "value" else _equation_key(expression)


def _make_exact(expression):
    """Decimals as the fractions that they are, and `i` as the imaginary unit, unless i, j and k are vectors."""
    names = {str(symbol): symbol for symbol in expression.free_symbols}
    exact = {number: sympy.Rational(str(number)) for number in expression.atoms(sympy.Float)}
    if "i" in names and not names.keys() & {"j", "k"}:
        exact[names["i"]] = sympy.I
    return expression.subs(exact) if exact else expression


def _matrix_key(matrix: sympy.MatrixBase) -> str | None:
    """In the form of `spine_rl.answers.structure`; a sum or product of matrices is worked out."""
    rows = [[_value_key(cell) for cell in row] for row in matrix.tolist()]
    if any(cell is None for row in rows for cell in row):
        return None
    return "[" + "|".join(";".join(filter(None, row)) for row in rows) + "]"


def _value_key(expression: sympy.Expr) -> str | None:
    if expression in (sympy.oo, -sympy.oo):
        return str(expression)
    value = _evaluate(expression)
    if value is None:
        return None
    real, imaginary = value.as_real_imag()
    if expression.free_symbols:
        return f"f({_digits(real)},{_digits(imaginary)})"
    return _number(real) if abs(imaginary) < 1e-20 else f"{_number(real)}+{_number(imaginary)}i"


def _equation_key(difference: sympy.Expr) -> str | None:
    """The ratio of the difference's values at two points: a factor cancels."""
    first, second = _evaluate(difference), _evaluate(difference, salt="second")
    if first is None or second is None or abs(second) < 1e-20:
        return None
    real, imaginary = sympy.N(first / second, 30).as_real_imag()
    return f"eq({_digits(real)},{_digits(imaginary)})"


def _evaluate(expression: sympy.Expr, salt: str = "") -> sympy.Expr | None:
    """Its value to 30 digits, the variables set; None if there is none."""
    variables = {symbol: _number_for(f"{salt}{symbol}") for symbol in expression.free_symbols}
    value = sympy.N(expression, 30, subs=variables)
    return value if value.is_number and value.is_finite else None


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
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    signal.signal(signal.SIGPROF, _give_up)
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)


def _set_timers(soft: float, hard: float) -> None:
    """CPU time, not wall time: what has a key must not depend on what else the machine does."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, soft, soft and 0.2)  # again: what a finalizer raises is lost
        signal.setitimer(signal.ITIMER_VIRTUAL, hard)


def _give_up(*_) -> None:
    raise _GiveUpError


def _reply(question: str) -> dict[str, str | None]:
    try:
        _set_timers(SOFT_TIMEOUT, HARD_TIMEOUT)
        return {"key": compute_key(*json.loads(question))}
    except (_GiveUpError, MemoryError):
        return {"timeout": "given up"}
    except Exception:  # sympy raises of every kind on what it cannot read; that is no answer
        return {"key": None}
    finally:
        _set_timers(0, 0)


def main() -> None:
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not look like a reply
    _limit_resources()
    compute_key("value", WARM_UP)
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        replies.write(json.dumps(_reply(line)) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
