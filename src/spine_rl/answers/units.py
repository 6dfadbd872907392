"""Drops what stands behind a value and does not change it: percent, degrees, units in words, symbols and Chinese.

A metric prefix changes it, and is read before (`quantities.split_multiple`).

A letter that follows a number without a space is a variable (`2t`, `3abc`), unless it begins a unit of the list.
What carries value is kept: "5 million", "9:40 pm", "3 km north", "5 May". "5 dozen" is 5: who says so was asked for
dozens, as in GSM8K.
"""

import re

from spine_rl.answers.dates import MONTH

_PERCENT = re.compile(r"\s*(?:\\?%|(?:\\(?:text|mbox|mathrm)\{)?\s*(?:percent(?:age)?|pct)\b\s*\}?)\s*$", re.IGNORECASE)
_KEPT = (
    r"hundred|thousand|million|billion|trillion|squared|cubed|noon|midnight"
    rf"|(?i:(?:north|south)?(?:east|west)|north|south|(?:counter|anti)?clockwise|(?:up|down)wards?|BCE?|AD|{MONTH})"
)
_KEPT_IN_TEXT = rf"(?![^{{}}]*(?:\b(?:{_KEPT})s?\b|\b[apAP]\.?\s?[mM]\b|[万亿]))"
_TEXT_UNIT = re.compile(
    rf"(?<=[\d}})a-zA-Z\]%/])\s*\\?\s*\\(?:text(?:rm|bf|normal)?|mbox|hbox|mathrm)\s*\{{{_KEPT_IN_TEXT}"
    r"(?!\s*(?:,?\s*(?:and|or)|[deiC])\s*\})[^{}]*(?:\{[^{}]*\}[^{}]*)?\}(?:\s*\^\s*\{?-?\d\}?)?\s*\.?$"
)
_WORDS = r"\{\s*\\(?:text|mathrm)\s*\{[^{}]*\}(?:\^\{?\d\}?)?\s*\}"
_FRACTION_UNIT = re.compile(rf"(?<=\d)\s*\\frac\s*{_WORDS}\s*{_WORDS}$")  # of \text{m} and \text{s}
_NO_UNIT = (
    rf"(?:and|or|pi|sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|mod|inf|infty|infinity|factorial|choose|if|for|where|to|by"
    rf"|{_KEPT})s?\b|ab[a-z]\b|[b-df-hj-np-tv-xz]{{3}}\b|xyz\b"  # and abc, pqr and xyz are products
)
_SHORT_UNITS = r"cm|mm|km|dm|kg|mg|ml|mL|in|ft|yd|mi|lb|lbs|oz|hr|hrs|Hz|mph|kph|rpm|cc|sq|MB|GB"
_LONG_UNITS = (
    r"deg(?:ree)?s?|cents?|dollars?|hours?|min(?:ute)?s?|secs?|seconds?|days?|weeks?|months?|years?|inch(?:es)?|feet"
    r"|foot|yards?|miles?|(?:kilo|centi|milli)?(?:met(?:er|re)|gram|lit(?:er|re))s?|units?|pounds?|ounces?|gallons?"
)
_WORD_UNIT = re.compile(
    rf"(?<=[\d)}}a-z])(?:\s*(?<![A-Za-z\\])(?:sq\.\s?)?(?:{_SHORT_UNITS}|{_LONG_UNITS})|(?<!base)\s+(?!{_NO_UNIT})[A-Za-z]{{3,}})"
    r"(?:\s*\^\s*\{?[23]\}?|/[a-z]{1,6}(?:\^\{?\d\}?)?)?\.?$"
)
_RATE = re.compile(r"(?<=\d)\s+(?:k?m|k?g|L|J|N|rad)\s?/\s?(?:s|h|hr|min|c?m|L|kg|mol)(?:\s*\^\s*\{?[23]\}?)?$")
_PRODUCT = re.compile(r"(?<=\d)\s+(?:k?N|k?J|W|Pa|kg|V|A)\s?\\cdot\s?(?:m|s|h)$")
_LETTER_UNIT = re.compile(r"^([-+]?\d[\d.,]*)\s+(?:[msghLJNWVK]|m\s*\^\s*\{?[23]\}?)$")
_UNIT_LETTER = re.compile(
    r"^([-+]?\d[\d.,]*)\s*(?:[kcdm]?m\s?\^\s?\{?[23]\}?|(?:[kcmM]?[mgsLlVAWJNCFKhT]|[kM]?\s?\\Omega|k?Hz|k?Pa|kWh?|dB)"
    r"(?:/(?:h|hr|min|s(?:\^\{?2\}?)?))?)$"
)
_CHINESE_UNIT = re.compile(
    r"(?<=[\d万亿})])\s*(?:平方|立方)?(?:个|元|美元|角|分|厘?米|[千毫分]米|公里|千?克|公斤|斤|吨|毫?升|秒钟?|分钟|小时|天|日|周"
    r"|个?月|年|岁|人|名|位|只|条|本|张|支|件|块|辆|页|次|倍|度|棵|朵|头|匹|组|种|袋|箱|盒|瓶|杯)$"
)
_OHM = re.compile(r"(?<=\d)\s*\\Omega$")
_IN_WORDS = re.compile(r"(?<=\d)\s*\([A-Za-z\s-]{3,60}\)$")  # 7 (seven)
_BARE = re.compile(r"[-+\d.,/ ]*")
_VALUE_ENDS = re.compile(r"(?:\d|\\pi|%)(?!.*\b(?:and|or)$)")


def strip_letter_unit(text: str) -> str:
    """A number without the letters that stand behind it even without a space, where a number was asked for: `3.35V`."""
    return text if text[-1:].isdigit() and "^" not in text else _UNIT_LETTER.sub(r"\1", text)


def strip_units(text: str) -> str:
    """The text without percent, degrees and units at its end; a text that holds no value is left as it is."""
    if _BARE.fullmatch(text):
        return text
    for _ in range(4):  # "5.4 \text{ cents} \text{ per pound}", "12 square units"
        shorter = _PERCENT.sub("", text)
        shorter = _TEXT_UNIT.sub("", _FRACTION_UNIT.sub("", shorter)).removesuffix("\\cdot").removesuffix("/")
        shorter = _LETTER_UNIT.sub(r"\1", _RATE.sub("", _PRODUCT.sub("", shorter)))
        shorter = _WORD_UNIT.sub("", _OHM.sub("", _IN_WORDS.sub("", shorter))).rstrip(" ,;")
        if not shorter.isascii():
            shorter = _CHINESE_UNIT.sub("", shorter)
        if shorter in (text, "") or not _VALUE_ENDS.search(shorter):
            break
        text = shorter
    return text
