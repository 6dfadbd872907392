"""The process behind `spine_rl.answers.symbolic`: a line of JSON in (kind, LaTeX), a line of JSON out.

An expression's key is its value: exact for rational numbers, to 12 significant digits for others. One with variables
is keyed by its values at four points, where each variable is a fixed number that depends on its name: near 1, negative,
large, and of either sign; at eight more where it has steps. So `|x|` is not `x`, and `|x - 2|` not `2 - x`; equal
expressions have equal values, as functions of real variables.
"""

import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig, latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig

MEMORY_LIMIT = 2 << 30  # bytes
SOFT_TIMEOUT = 1.5  # CPU seconds: given up here, without losing the process, where Python can be interrupted
# Series, integrals and limits are worked out at once or not at all. An answer's limit is its own, not a share of its
# group's: what has a key depends neither on the order of the responses nor on what other processes or batches hold.
LIMITING_TIMEOUTS = 0.4, 0.6  # CPU seconds, in a process of their own: 40 different ones take at most 24
LIMITING = re.compile(r"\\(?:sum|prod|i{1,3}nt|oint|lim)(?![a-z])")
HARD_TIMEOUT = 2.5  # CPU seconds: the process ends where it cannot be, be its parent there or gone
WARM_UP = r"\frac{\sqrt{2}}{3} + \log x^2"  # the first expression takes many times as long as any later one
MAX_EXACT_BITS = 3_300  # of a numerator or denominator that is written out, about a thousand digits
ZERO = sympy.Float("1e-100")  # what is left where terms cancel; a rational number below it is worked out exactly
EXACT_FROM = 10**12  # the 30 digits of a value tell all of a smaller number
# Units are dropped before, by what they are called: the parser drops letters, and the t of `2 - 3t` with them.
NORMALIZATION = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
)
CONVERSION = ConversionConfig(lowercase_symbols=False)  # R and r are two radii
COMPLEX = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])|\\(?:imath|mathbb|det|arg|Re|Im)(?![A-Za-z])")

# Where variables are: the least number, how wide the range is, and the sign for a name's first letter.
Point = tuple[int, int, Callable[[int], int]]
POINTS: tuple[Point, ...] = (
    (1, 1, lambda _: 1),
    (2, 1, lambda _: -1),
    (100, 9, lambda _: 1),
    (3, 2, lambda letter: 1 if letter % 2 else -1),
)
# Steps are flat between the points of others: ⌊x⌋ and ⌊x + 1/2⌋ are told apart by eight more.
STEPS = sympy.floor, sympy.ceiling, sympy.Mod
STEP_POINTS: tuple[Point, ...] = (*POINTS, *((least, 1, lambda _: 1) for least in range(5, 13)))


_gave_up: list[bool] = []  # whether the time of the present answer is over, however a library took that


class _GiveUpError(BaseException):
    """No `Exception`: the parser swallows those, and what took too long would look like what is no mathematics."""


def compute_key(kind: str, latex: str) -> str | None:
    """The key of what the parser reads in the text; None if that is nothing, or has no value."""
    found = parse(latex)
    if not isinstance(found, sympy.Expr | sympy.MatrixBase):
        return None
    expression = _make_exact(found.doit() if found.is_Matrix else found)
    if isinstance(expression, sympy.MatrixBase):
        return _matrix_key(expression)
    if expression.has(sympy.Sum, sympy.Product, sympy.Limit, sympy.Integral):
        expression = expression.doit()  # much quicker than its value in digits, where it can be had
    return _value_key(expression) if kind == "value" else _equation_key(expression)


def parse(latex: str) -> object:
    """The expression, its letters real variables unless the imaginary unit is among them.

    Raises:
        Exception: Of every kind, on what is no mathematics.
    """
    is_real = not COMPLEX.search(latex)
    return latex2sympy(latex, is_real=is_real, normalization_config=NORMALIZATION, conversion_config=CONVERSION)


def _make_exact(expression: Any) -> Any:
    """Decimals as the fractions that they are, and `i` as the imaginary unit, unless i, j and k are vectors."""
    # All at once: replaced one by one, those that are left are multiplied as binary fractions (0.1 × 0.2 × 0.5).
    expression = expression.xreplace({number: sympy.Rational(str(number)) for number in expression.atoms(sympy.Float)})
    names = {str(symbol): symbol for symbol in expression.free_symbols}
    if "i" in names and not names.keys() & {"j", "k"}:
        return expression.subs(names["i"], sympy.I)
    return expression


def _matrix_key(matrix: sympy.MatrixBase) -> str | None:
    """In the form of `spine_rl.answers.structure`; a sum or product of matrices is worked out."""
    rows = [[_value_key(cell) for cell in row] for row in matrix.tolist()]
    if any(cell is None for row in rows for cell in row):
        return None
    return "[" + "|".join(";".join(filter(None, row)) for row in rows) + "]"


def _value_key(expression: sympy.Expr) -> str | None:
    if expression in (sympy.oo, -sympy.oo):
        return str(expression)
    if names := [str(symbol) for symbol in expression.free_symbols]:
        points = STEP_POINTS if expression.has(*STEPS) else POINTS
        evaluated = [_evaluate(expression, point) for point in points]
        if all(value is not None and abs(value) < ZERO for value in evaluated):
            return "0"  # sin x - sin x, of which rounding errors are left
        values = [*map(_complex_digits, evaluated)]
        if len(set(values)) == 1 and evaluated[0] is not None and "i" not in values[0]:
            return _number(evaluated[0].as_real_imag()[0])  # the same wherever its variables are
        if len(names[0]) == 1 and values == [_complex_digits(_number_for(names[0], point)) for point in points]:
            return names[0]  # x + 0, as x alone
        return None if values[0] == "-" else f"f({','.join(values)})"
    value = _evaluate(expression)
    if value is None:
        return None
    real, imaginary = value.as_real_imag()
    if abs(imaginary) < 1e-20:
        return _number(real, expression)
    return f"{_number(real)}+{_number(imaginary)}i"


def _equation_key(difference: sympy.Expr) -> str | None:
    """The ratios of the difference's values to the first of them: a factor cancels."""
    if not difference.free_symbols:
        return None  # no equation of anything
    first, *others = (_evaluate(difference, point) for point in POINTS)
    if first is None or abs(first) < 1e-20 or others[0] is None:
        return None
    ratios = [None if other is None else sympy.N(other / first, 30) for other in others]
    return f"eq({','.join(map(_complex_digits, ratios))})"


def _evaluate(expression: sympy.Expr, point: Point = POINTS[0]) -> sympy.Expr | None:
    """Its value to 30 digits, the variables set; None if there is none."""
    variables = {symbol: _number_for(str(symbol), point) for symbol in expression.free_symbols}
    value = sympy.N(expression, 30, subs=variables)
    return value if value.is_number and value.is_finite else None


def _number_for(name: str, point: Point) -> sympy.Expr:
    """A fixed number for a variable."""
    least, width, sign = point
    digits = int.from_bytes(hashlib.blake2b(f"{name}{least}".encode(), digest_size=12).digest(), "big")
    return sign(ord(name[0])) * (least + width * sympy.Float(digits, 30) / sympy.Float(2**96, 30))


def _number(value: sympy.Expr, expression: sympy.Expr | None = None) -> str:
    """An exact fraction where it is one: by its digits, or, where these do not tell, worked out exactly."""
    exact = Fraction(str(value)).limit_denominator(10**6)
    near = abs(value - sympy.Rational(exact.numerator, exact.denominator)) < 1e-18 * max(1, abs(value))
    if near and exact and abs(exact) < EXACT_FROM:
        return str(exact)
    whole = None if expression is None else expression.doit()
    if not isinstance(whole, sympy.Rational):
        if abs(value) < ZERO:
            return "0"
        return str(exact) if near and exact and abs(exact) < EXACT_FROM else _digits(value)
    if max(int(whole.p).bit_length(), int(whole.q).bit_length()) <= MAX_EXACT_BITS:
        return str(Fraction(int(whole.p), int(whole.q)))
    digest = hashlib.blake2b(f"{int(whole.p):x}/{int(whole.q):x}".encode(), digest_size=8).hexdigest()
    return f"{_digits(value)}#{digest}"


def _complex_digits(value: sympy.Expr | None) -> str:
    """Of a value without its rounding errors; a dash where there is none."""
    if value is None:
        return "-"
    real, imaginary = (part if abs(part) > 1e-18 * abs(value) else sympy.Integer(0) for part in value.as_real_imag())
    return _digits(real) if imaginary == 0 else f"{_digits(real)}+{_digits(imaginary)}i"


def _digits(value: sympy.Expr) -> str:
    if value == 0 or 1e-300 < abs(value) < 1e300:
        return f"{float(value):.12g}"
    return str(sympy.Float(value, 12))  # beyond the range of a float


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
    _gave_up.append(True)
    raise _GiveUpError


def _reply(question: str) -> dict[str, str | None]:
    try:
        _set_timers(*(LIMITING_TIMEOUTS if LIMITING.search(question) else (SOFT_TIMEOUT, HARD_TIMEOUT)))
        _gave_up.clear()
        key = compute_key(*json.loads(question))
        return {"no_answer": "given up"} if _gave_up else {"key": key}
    except (_GiveUpError, MemoryError):
        return {"no_answer": "given up"}
    except Exception:  # sympy raises of every kind on what it cannot read; that is no answer
        return {"no_answer": "given up"} if _gave_up else {"key": None}
    finally:
        _set_timers(0, 0)


def _reply_in_fork(question: str) -> dict[str, str | None]:
    """As `_reply`, in a process whose end loses nothing that is loaded here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.write(writing, json.dumps(_reply(question)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        reply = pipe.read()
    os.waitpid(child, 0)
    return json.loads(reply) if reply else {"no_answer": "ended"}


def main() -> None:
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not look like a reply
    _limit_resources()
    compute_key("value", WARM_UP)
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        reply = _reply_in_fork if LIMITING.search(line) and hasattr(os, "fork") else _reply
        replies.write(json.dumps(reply(line)) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
