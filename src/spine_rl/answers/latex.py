"""An expression as the LaTeX parser must have it: every product, power, name and function written out."""

import re

FUNCTIONS = "sin|cos|tan|cot|sec|csc|sinh|cosh|tanh|log|ln|exp|arcsin|arccos|arctan"
_NAMED = re.compile(rf"(?<![\\A-Za-z])(pi|infinity|infty|{FUNCTIONS})(?![A-Za-z])")
_ROOT = re.compile(r"(?:(?<![\\A-Za-z])sqrt|\\sqrt(?=\s*\())\s*(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\)|(\d+))")
# Of \sqrt 13 TeX takes one digit, and who writes it means all.
_BARE_ROOT = re.compile(r"\\sqrt\s*(\[\w{1,3}\](?=\s*\d))?\s*(\d+(?:\.\d+)?)")
_POWER = re.compile(
    r"\^\s*(?:\(([^()]*)\)|(-?\\frac\s*(?:\{[^{}]*\}|\d)\s*(?:\{[^{}]*\}|\d)|-?\\sqrt\s*\{[^{}]*\}|-\d+|\d{2,}|-[a-z]))"
)
_OVER = re.compile(r"\{([^{}]*)\\over(?![a-z])([^{}]*)\}")
_LOG_BASE = re.compile(r"\\?log\s?_\s?(\w)(?!\w)")
_LOG_NAME = re.compile(r"(?<![\\A-Za-z])log(2|10)(?=\s?\()")  # as in Python
# \ln 2/2 and \sin x/x are quotients, of which the parser takes all for the argument; \sin\pi/3 is left to be none.
_DIVIDED = re.compile(
    r"(?:\\(?:ln|log|lg)(?:_(?:\{\w+\}|\w))?\s?(?:[\d.]+|(?<=\s)[A-Za-z])"
    r"|\\(?:sin|cos|tan|cot|sec|csc)(?:\^(?:\{\d\}|\d))?(?:\s[A-Za-z]|\s?\d+\s?[A-Za-z]|\s?\d*\s?\\(?!pi(?![a-z]))[a-z]+)"
    r"(?=\s?/\s?[A-Za-z\\]))(?=\s?/)"
)
_BRACE_SPACE = re.compile(r"(?<=\{)\s+|\s+(?=\})")
# What other countries call a function, and what stands in a wrapper that the parser does not know.
_SYNONYMS = {"tg": "tan", "ctg": "cot", "lg": "log", "arctg": "arctan", "sh": "sinh", "ch": "cosh", "th": "tanh"}
_SYNONYMS |= {"varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta"}
_SYNONYM = re.compile(rf"\\({'|'.join(_SYNONYMS)})(?![A-Za-z])")
# 3(5), (3)5 and (3)(5) are products; the parser takes two numbers side by side for a mixed one, and adds them.
_FUNCTION_HEAD = r"(?:\\(?!pi\b)[A-Za-z]+\s*(?:[_^]\s*(?:\{[^{}]*\}|\w))*|[A-Za-z]\s*_\s*\w)\s*"
_ADJACENT = re.compile(rf"(?P<head>{_FUNCTION_HEAD})(?=\()|(?P<before>[\d)]|\\pi)\s*(?=\()|(?P<after>\))\s*(?=\d)")
_BRACES = re.compile(r"(?<![\w}])\{(\d+)\}\s*(?=\{\d+\})")
# 1/2x is half an x, as 1/2(x) is; the parser takes it for 1/(2x), as people mean a/2b.
_COEFFICIENT = re.compile(r"(?<![\w.)}^/])(?<![\^/]\s)(\d+)\s?/\s?(\d+)(?!\s?[\d.!^_/])")
# Letters that the parser takes for constants are variables here: energy E, current I, an angle gamma.
_CONSTANT = re.compile(
    r"\\(?:begin|end|overline|bar|vec|hat)\s*\{[^{}]*\}|\\Gamma(?=\s*\()"
    r"|(?P<name>\\[gG]amma(?![A-Za-z])|(?<![\\A-Za-z])[EI](?![A-Za-z])|(?<=[A-Z])[EI]|[EI](?=[A-Z]))"
    r"(?:_(?:\{(?P<long>\w*)\}|(?P<short>\w)))?|\\[A-Za-z]+"
)
_EXPONENT = re.compile(r"\^\s?(?:\{\s?T\s?\}|T(?![A-Za-z]))")  # a time, which the parser takes for a transpose
_ANGLE = re.compile(r"\\angle\s?\{?\s?([A-Z])([A-Z])([A-Z])(?![A-Za-z])\s?\}?")
_PRIMED = re.compile(r"(?<![\\A-Za-z])([A-Za-z])('+|\^\{?(?:\\prime)+\}?)")


def to_latex(text: str) -> str:
    """What the parser would read otherwise than it is meant, written out."""
    text = _NAMED.sub(r"\\\1", _LOG_NAME.sub(r"\\log_{\1}", text.replace("**", "^")))
    text = _ROOT.sub(lambda match: f"\\sqrt{{{match.group(1) or match.group(2)}}}", text)
    text = _BARE_ROOT.sub(r"\\sqrt\1{\2}", text)
    text = _SYNONYM.sub(lambda match: "\\" + _SYNONYMS[match.group(1)], _BRACE_SPACE.sub("", text))
    text = _LOG_BASE.sub(r"\\log_{\1}", text)
    if "\\over" in text:
        text = _OVER.sub(r"\\frac{\1}{\2}", text)
    if "/" in text:
        text = _DIVIDED.sub(r"(\g<0>)", text)
    if "'" in text or "\\prime" in text:
        text = _PRIMED.sub(lambda match: f"{match.group(1)}_{{prime{len(match.group(2))}}}", text)
    if "(" in text or "}{" in text:
        text = _BRACES.sub(r"\1\\cdot ", _ADJACENT.sub(_multiply, text))
    if "/" in text:
        text = _COEFFICIENT.sub(r"\\frac{\1}{\2}", text)
    text = _CONSTANT.sub(_name, _ANGLE.sub(_name_angle, text))
    text = _POWER.sub(lambda match: f"^{{{match.group(1) or match.group(2)}}}", text)
    return _EXPONENT.sub("^{(T)}", text).replace("*", "\\cdot ")


def hide_log_base(text: str) -> str:
    return _LOG_BASE.sub("log", text)


def _multiply(match: re.Match[str]) -> str:
    return match["head"] or f"{match['before'] or match['after']}\\cdot "


def _name_angle(match: re.Match[str]) -> str:
    """One variable, the same from either side: `\\angle ABC` is `\\angle CBA`, not `\\angle ACB`."""
    ends = sorted((match[1], match[3]))
    return f"X_{{angle{ends[0]}{match[2]}{ends[1]}}}"


def _name(match: re.Match[str]) -> str:
    if match["name"] is None:
        return match.group()
    return f"X_{{{match['name'].lstrip(chr(92))}{match['long'] or match['short'] or ''}}}"
