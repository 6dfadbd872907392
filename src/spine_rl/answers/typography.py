"""Takes from a mathematical answer what carries no meaning: spacing, delimiters, wrappers, units, currency, percent."""

import re
import unicodedata

from spine_rl.answers.units import strip_units

_SYMBOLS = str.maketrans(
    {
        "−": "-", "–": "-", "﹣": "-", "－": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/",
        "∕": "/", "⁄": "/", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
        "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "⊂": r"\subset ", "⊆": r"\subseteq ",
        "∧": r"\land ", "∨": r"\lor ", "¬": r"\neg ", "∠": r"\angle ", "△": r"\triangle ", "⊥": r"\perp ",
        "∥": r"\parallel ", "≡": r"\equiv ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ",
        "⟨": "(", "⟩": ")", "→": r"\to ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "％": "%", "，": ", ",
        "°": r"^\circ ", "º": r"^\circ ",
        "；": "; ", "、": ", ", "（": "(", "）": ")", "√": r"\sqrt ",
        "∛": r"\sqrt[3] ", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u200b": "",
        "\ufeff": "", "’": "'", "“": "", "”": "", "′": "'", "≈": r"\approx ", "。": ".",
        "：": ":", "∶": ":", "．": ".", "㎝": "cm", "㎡": "m^2", "℃": r"^\circ C", "＝": "=", "＋": "+",
        "【": "[", "】": "]", "٫": ".", "٬": ",", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}",
    }
)  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi",
    "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "ϕ": "phi", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_GREEK_LETTERS = re.compile(rf"(?<![\u0370-\u03ff])[{''.join(_GREEK)}]{{1,3}}(?![\u0370-\u03ff])")  # no words
_RAISED = re.compile(r"[⁰¹²³⁴-⁹⁺⁻ⁿⁱ]+")
_LOWERED = re.compile(r"[₀-₉]+")
_NORMAL = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ₀₁₂₃₄₅₆₇₈₉", "0123456789+-ni0123456789")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")  # ٤٢, ४२
_OUTWARD = re.compile(r"([\[\]])(\s*[^\s,;\[\]()][^,;\[\]()]*[,;][^\[\]()]+)([\[\]])")
_MODULUS = re.compile(r"\s*\(?\s*(?<![A-Za-z])\\?[pb]?mod(?![A-Za-z])\s*\{?\s*(\w+)\s*\}?\s*\)?$")
_DOTS = re.compile(r"\s*(?:\.{3,}|…|\\[lc]?dots[bcim]?(?![A-Za-z]))")
_REPEATED = re.compile(r"(\d*\.)(?:(\d{1,6}?)\2+|(\d*?)(\d{1,3}?)\4{2,})\s*(?:\.{3}|…|\\[lc]?dots)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_THIN_SPACE = re.compile(
    r"(?<!\\)\\[!,;:> ]|\{,\}|~|\\q?quad|\\(?:displaystyle|textstyle|limits|bigl?|bigr|Bigl?|Bigr)(?![A-Za-z])"
)
_SIZES = re.compile(r"\\(?:left|right|middle)(?![A-Za-z])\.?")
_DELIMITERS = re.compile(r"\\?\$|(?<!\\)\\[()\[\]]|^\*\*?|\*\*?$|`")
_FRACTION = re.compile(r"\\(?:[dtcs]|nice)(frac|binom)(?![a-z])")
_FRACTION_OF_DIGITS = re.compile(r"\\frac\s*(\d)\s+(\d)")
_LETTER_OF_CHOICE = re.compile(r"^(?:\\text(?:bf)?\s*\{\s*\([A-J]\)[\s:.]*\}|\([A-J]\)(?=\s))\s*\\?\s*(?=[^\s.,;:$])")
_CURRENCY = re.compile(
    r"(?:(?<==)\s*|^)([-+]?)\s*(?:US|USD|A|C)?\s*(?:(?:USD|EUR|GBP|INR|Rs\.?)(?=\s*\d)|\\?\$|\\text\{\s*\\?\$\s*\}|[€£¥₹]|\\(?:pounds|euro))\s*"
)
_ORDINAL = re.compile(
    r"(?<=\d)\s*\^\s*\{?\s*(?:\\(?:text|mathrm|textrm)\s*\{)?\s*(?:st|nd|rd|th)\s*\}{0,2}(?![A-Za-z])"
)
_CURRENCY_END = re.compile(r"\s*(?:\\?\$|[€£¥₹¢])$")
_SQUARE_METRES = re.compile(r"(?<=\d)\s*[ckdm]?m[²³]$")
_DOUBLED = re.compile(r"\\\\(?=[A-Za-z{}(),])")
_BRACKETS = {"\\langle": "(", "\\rangle": ")", "\\lbrace": "\\{", "\\rbrace": "\\}", "\\lvert": "|", "\\rvert": "|"}
_DECIMAL_COMMA = re.compile(r"^([-+]?(?:0|\d{4,})),(\d+)$")
_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_LISTED = re.compile(r"(?:\d{1,3}(?:,\d{3})+|[^\d,]|,\s|(?<![\d,])\d+(?!,?\d))+")  # (1,000, 2,000), not (12,102)
_SPACED = re.compile(r"(?:^|(?<=[=,;] )|(?<=\())[-+]?[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?(?=$|[,;)])")
_THIN_GROUP = re.compile(r"(?<=\d)(?:,?\s*(?:\\[!,;:]|~)\s*|\{,\}\s*)(?=\d{3}(?!\d))")
_INEQUALITY = re.compile(r"\\(neq|leq(?:slant)?|geq(?:slant)?)(?![A-Za-z])")
_TIMES_TEN = re.compile(r"(?<=\d)\s?[xX]\s?(?=10\s?\^)")
_EUROPEAN = re.compile(r"([-+]?[1-9]\d{0,2}(?:\.\d{3})+),(\d+)")
_DOTTED_GROUPS = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3}){2,}")
_DEGREE = re.compile(
    r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|(?<=\d)\^\{?(?:o(?![a-z])|\\text\{o\})\}?|\\(?:degrees?|circ)(?![A-Za-z]))(?:\s*(?:\\(?:text|mathrm)\s?\{\s*)?[CFK]\}?$)?"
)
_TEXT = (
    r"\\(?:text|textbf|textit|textrm|textnormal|texttt|emph|underline|mbox|hbox|mathrm|mathbf|mathit|mathtt|mathsf"
    r"|operatorname|boldsymbol|bm|rm|bf)"
)
_UNWRAP = re.compile(_TEXT + r"\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_STYLE = re.compile(r"\\(?:(?:large|Large|LARGE|huge|Huge|bf|rm|it)(?![A-Za-z])|(?:text)?color\s*\{\w+\})\s*")
_CONCLUDES = re.compile(r"^\\(?:therefore|Rightarrow|Longrightarrow|implies)(?![A-Za-z])\s*")
_LEADING_WORDS = re.compile(
    r"^(?:(?:\\text\s?\{\s?)?(?:approximately|about|roughly|around|exactly|nearly)\s*\}?|\\approx|\\sim(?:eq)?)"
    r"\s*(?=[\d.$\\-])",
    re.IGNORECASE,
)
_TRIGONOMETRY = re.compile(r"(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_ANGLE = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*\{?\s*\\circ\s*\}?")


def strip_typography(answer: str) -> str:
    """The answer in one plain form, ASCII where it can be; `10,\\!080 \\text{ cm}^2` becomes `10080`.

    Spaces that may separate are kept, so that `1 4/5` stays a mixed number and `3, 4` a list.
    """
    text = answer.strip()
    if not text.isascii():
        text = _SQUARE_METRES.sub("", text)
        text = _RAISED.sub(lambda power: f"^{{{power.group().translate(_NORMAL)}}}", text)
        text = write_out_fractions(_LOWERED.sub(lambda index: f"_{{{index.group().translate(_NORMAL)}}}", text))
        text = _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit.group())), text.translate(_SYMBOLS))
        text = _GREEK_LETTERS.sub(_name_letters, text)
    text = " ".join(_CONTROL.sub("", text).split())
    if "\\\\" in text and "\\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)  # escaped twice, as in JSON
    text = _LETTER_OF_CHOICE.sub("", text)
    text = _CURRENCY_END.sub("", _CURRENCY.sub(r"\1", text))
    if "\\" in text or "$" in text or "*" in text or "~" in text or "`" in text or "^" in text:
        text = _THIN_GROUP.sub("", text)
        text = _STYLE.sub("", _SIZES.sub("", text))
        text = _THIN_SPACE.sub(" ", text)
        text = " ".join(_DELIMITERS.sub(" ", text).split())
        text = _FRACTION_OF_DIGITS.sub(r"\\frac{\1}{\2}", _FRACTION.sub(r"\\\1", text))
        text = _INEQUALITY.sub(lambda match: "\\" + match.group(1)[:2], text)
        if _TRIGONOMETRY.search(text):
            text = _ANGLE.sub(r"{(\\frac{\1\\pi}{180})}", text)
        text = _DEGREE.sub("", _ORDINAL.sub("", text))
        for written, bracket in _BRACKETS.items():
            text = text.replace(written, bracket)
    if ".." in text or "dots" in text or "…" in text:
        text = _DOTS.sub(r"\\ldots ", _REPEATED.sub(_repeat, text))
    text = text.lstrip(" \t\n,;:").rstrip(" \t\n.,;:")
    if text[:1] == "]" or text[-1:] == "[":
        text = _OUTWARD.sub(_turn_brackets, text)
    text = strip_units(_LEADING_WORDS.sub("", _CONCLUDES.sub("", text)))
    if "\\" in text:
        text = _UNWRAP.sub(r" \1 ", _UNWRAP.sub(r" \1 ", text))
    if "mod" in text:
        text = _MODULUS.sub(r" \\pmod \1", text)
    text = " ".join(text.split()).replace("+/-", "\\pm ").replace("!=", "\\ne ").replace("==", "=")
    text = _TIMES_TEN.sub(r"\\times ", text)
    if _DOTTED_GROUPS.fullmatch(text):
        text = text.replace(".", "")
    if european := _EUROPEAN.fullmatch(text):  # 1.234,50
        text = f"{european[1].replace('.', '')}.{european[2]}"
    if "," in text and (not any(bracket in text for bracket in "([{") or (", " in text and _LISTED.fullmatch(text))):
        text = _GROUPED.sub(lambda match: match.group().replace(",", ""), text)
        text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    if " " in text:
        text = _SPACED.sub(lambda number: number.group().replace(" ", ""), text)
    return text


def write_out_fractions(text: str) -> str:
    """`2½` as 2 1/2."""
    return _VULGAR.sub(lambda part: " " + unicodedata.normalize("NFKC", part.group()).replace("⁄", "/"), text)


def _repeat(decimal: re.Match[str]) -> str:
    """`0.1212...` as `0.\\overline{12}`."""
    return f"{decimal[1]}{decimal[3] or ''}\\overline{{{decimal[2] or decimal[4]}}}"


def _name_letters(letters: re.Match[str]) -> str:
    return "".join(f"\\{_GREEK[letter]} " for letter in letters.group())


def _turn_brackets(interval: re.Match[str]) -> str:
    """`]2, 5]` as `(2, 5]`: an end that a bracket turns away from is open."""
    return f"{'(['[interval[1] == '[']}{interval[2]}{')]'[interval[3] == ']']}"
