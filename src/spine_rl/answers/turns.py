"""What a response says after its reasoning: thoughts, channels, chat tokens and courtesies taken off.

Only plain scans; a response whose reasoning was not closed says nothing.
"""

import html
import re

from spine_rl.answers.markers import THOUGHTS, join, words

_CHAT_TOKEN = re.compile(
    r"<[|｜][\w▁ ]{1,40}[|｜]>|</?(?:s|eos|bos|pad|end_of_turn|eoa|eoe|eot|end)>|<start_of_turn>|\[/?INST\]"
)
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]{0,40}[ -/]{0,10}[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)|[@-Z\\^_])|\x9b[0-?]{0,40}[@-~]"
)
_CHANNEL, _MESSAGE = "<|channel|>", "<|message|>"
_STRIPPED_CHANNELS = re.compile(r"\s*(?:analysis|commentary)(?=[A-Z\s\d])")  # without special tokens
_TAG = re.compile(r"<(/?)([a-z]{1,10}[1-6]?)(?:\s[^<>\n]{0,100})?/?>", re.IGNORECASE)
_CLOSING = re.compile(r"\n(?:[ \t]{0,20}</(?!answer\b)[a-z][\w-]{0,20}>\s{0,20})+\Z", re.IGNORECASE)
_ENTITY = re.compile(r"&#?\w{2,8};")
_ELEMENTS: dict[str, tuple[str, str]] = dict.fromkeys(
    ("a", "b", "strong", "i", "em", "u", "mark", "small", "span", "font", "code"), ("", "")
)
_BLOCKS = "p div li center br h1 h2 h3 h4 h5 h6 ul ol dl dt dd table thead tbody tr td th pre html body main section"
_ELEMENTS |= dict.fromkeys([*_BLOCKS.split(), "article", "blockquote"], ("\n", "\n"))
_ELEMENTS |= {"sup": ("^{", "}"), "sub": ("_{", "}")}
_THOUGHT_MARKS = {opening[0] for opening, _ in THOUGHTS}
_WORKED = re.compile(r"<<[^<>\n]{1,100}>>")  # GSM8K's calculator: 3*4=<<3*4=12>>12
_NEXT_QUESTION = re.compile(r"\n[ \t]{0,20}(?:Q|Question|Problem|Human|User|Input|问题|题目)\s*[:：]")
_ANSWERED = re.compile(r"(?:^|\n)\s*A\s*:|\banswer\b|####|\\boxed|答案", re.IGNORECASE)
_COURTESY = re.compile(rf"[\s*_>~-]*(?:{words('courtesy')})[^\n]{{0,300}}", re.IGNORECASE)
_ANY_COURTESY = re.compile(join("courtesy"), re.IGNORECASE)
_LAST_SENTENCE = re.compile(r"(?:(?<=[.!?。！？])|\n)(?=[^.!?。！？\n]{1,300}[.!?。！？]*[^\w.!?。！？\n]{0,9}$)")
MAX_COURTESIES = 4


def read_final_turn(response: str, max_length: int) -> str:
    """The end of what is said after the reasoning, at most `max_length` characters; empty where that was not closed."""
    text = _after_channels(response)
    if text is None:
        return ""
    if any(mark in text for mark in _THOUGHT_MARKS):
        for opening, closing in THOUGHTS:
            if closing in text:
                text = text.rpartition(closing)[2]
            elif opening in text:
                text = text.partition(opening)[0]
    text = text[-max_length:]
    if "\x1b" in text or "\x9b" in text:
        text = _ESCAPES.sub("", text)  # a terminal's colours: the 1 of "\\x1b[1m" is no answer
    if "<br" in text or "</" in text or "&" in text:
        text = _read_html(text)
    if "<<" in text:
        text = _WORKED.sub("", text)
    if "<" in text or "[" in text:
        text = _first_turn(text)
    question = _NEXT_QUESTION.search(text)
    if question and _ANSWERED.search(text[: question.start()]):
        text = text[: question.start()]  # a base model goes on with a question of its own
    return text


def _read_html(text: str) -> str:
    """What a page shows: `<b>12</b>`, `x<sup>2</sup>`, `&lt;`; elements that no tag closes may be relations: a<b>c."""
    closed = {tag[2].lower() for tag in _TAG.finditer(text) if tag[1]} & _ELEMENTS.keys() | {"br"}

    def show(tag: re.Match[str]) -> str:
        name = tag[2].lower()
        return _ELEMENTS[name][bool(tag[1])] if name in closed else tag.group()

    return _ENTITY.sub(lambda entity: html.unescape(entity.group()), _CLOSING.sub("", _TAG.sub(show, text)))


def strip_courtesies(text: str) -> str:
    """Without sentences at the end that hold no answer: "I hope this helps! Let me know if you have questions."""
    text = text.rstrip()
    for _ in range(MAX_COURTESIES):
        tail = text[-600:]
        if not _ANY_COURTESY.search(tail):
            return text
        start = max((match.end() for match in _LAST_SENTENCE.finditer(tail)), default=0)
        if (
            not _COURTESY.match(tail[start:].lstrip("\n "))
            or (shorter := text[: len(text) - len(tail) + start].rstrip()) == ""
        ):
            return text
        text = shorter
    return text


def _after_channels(response: str) -> str | None:
    """The final channel of a response that has channels; None where it never came to one."""
    if _CHANNEL in response:
        final = response.rpartition(f"{_CHANNEL}final")
        return final[2].partition(_MESSAGE)[2] if final[1] else None
    if response.startswith(("analysis", "commentary")) and _STRIPPED_CHANNELS.match(response):
        final = response.rpartition("assistantfinal")
        return final[2] if final[1] else None
    return response


def _first_turn(text: str) -> str:
    """What stands before the chat token that ends the turn; a token before any text opens it."""
    start = 0
    for token in _CHAT_TOKEN.finditer(text):
        if text[start : token.start()].strip():
            if token.group() in ("<eoe>", "[INST]", "[/INST]"):
                continue
            return text[start : token.start()]
        start = token.end()
    return text[start:]
