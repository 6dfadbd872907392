"""Where in a response an answer stands, in order of trust. Only plain scans, over a bounded tail of the text.

1. the last balanced `\\boxed{...}` (several, if only commas or "and" stand between them);
2. the last `<answer>...</answer>`: the sentence after an "answer is" in it, else its final line;
3. what follows the last `####`;
4. the sentence after the last "answer is", "Answer:" or "答案";
5. the final line, of a response that was not cut off and has no box, not even an empty or unfinished one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

MAX_SCANNED = 20_000  # characters at the end of a response; an answer stands last
MAX_ANSWER = 1_000  # characters; anything longer is no answer
MAX_BOXES = 50  # `\boxed{` looked at, from the end

_CHAT_TOKEN = re.compile(r"<[|｜][\w▁ ]{1,40}[|｜]>|</?(?:s|eos|bos|pad|end_of_turn)>")
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,5}\{")
_BARE_BOX = re.compile(r"\\boxed\s{1,5}([^\s{}$]{1,100})")
_BRACE = re.compile(r"\\?[{}]")
_BETWEEN_BOXES = re.compile(r"(?:[\s$;,]|\\[()\[\]]|\\q?quad|\\text\{\s*,?\s*(?:and|or)\s*\}|\band\b|\bor\b|和|或)*")
_AND_BEFORE_BOX = re.compile(r"[^.\n]{0,40}\b(?:and|or)\b(?:[\s$}]|\\[()\[\]])*(?:[\w(){}\\]{1,20}\s*=\s*)?")
_MARKER = re.compile(
    r"\b(?:answer|choice|option)\b[*_\s]{0,9}(?:(?:is|are|would be|should be)\b(?!\s*(?:not|to)\b)|[:：=]|\*\*\s*\n)"
    r"|\banswer\b[*_ ]{0,4}[-–—](?=\s)|(?<![\u4e00-\u9fff])答[:：]"
    r"|(?:答案|结果)(?:应该|应)?(?:是|为|[:：])|故?选择?[:：]?(?=\s{0,3}[(（]?[A-J])",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!](?=\s|$)|。|\n")
_DISPLAY = re.compile(r"\s*(?:\\\[(.{1,1000}?)\\\]|\$\$(.{1,1000}?)\$\$)", re.DOTALL)
_LAST_DISPLAY = re.compile(
    r"(?:\\\[|\$\$|\\begin\{(?:align|equation|gather)\*?\})([^$]{1,1000}?)"
    r"(?:\\\]|\$\$|\\end\{(?:align|equation|gather)\*?\})[\s.,]{0,5}$"
)
_SKIP = re.compile(r"[\s*_:：>#`]{0,20}")

Kind = Literal["boxed", "tagged", "hashes", "marked", "final"]


@dataclass(frozen=True)
class Place:
    """A stretch of text that should hold the answer, and how it was found."""

    kind: Kind
    text: str


def find_places(response: str, *, complete: bool = True) -> Iterator[Place]:
    """The places of a response, most trusted first.

    Args:
        response: Its text; chat end tokens are dropped and reasoning up to `</think>` is skipped.
        complete: False where the response was cut off: what stands last is then no final line.
    """
    text = response[-MAX_SCANNED:]
    if "</think>" in text:
        text = text.rpartition("</think>")[2]
    if "<" in text:
        text = _first_turn(text)
    if "box" in text and (boxed := _last_boxes(text)) is not None:
        yield Place("boxed", boxed)
    if "</answer>" in text and (tagged := _last_tagged(text)):
        yield from _find_marked(tagged)
        yield Place("tagged", _final_line(tagged))
    if "####" in text:
        yield Place("hashes", text.rpartition("####")[2].strip().partition("\n")[0])
    yield from _find_marked(text)
    if complete and "\\boxed" not in text and (line := _final_line(text)):
        yield Place("final", line)


def _first_turn(text: str) -> str:
    """What stands before the chat token that ends the turn; a token before any text opens it."""
    start = 0
    for token in _CHAT_TOKEN.finditer(text):
        if text[start : token.start()].strip():
            return text[start : token.start()]
        start = token.end()
    return text[start:]


def _last_boxes(text: str) -> str | None:
    """Contents of the last box whose braces balance, and of those listed with it; or of a bare `\\boxed 5`."""
    openings = list(_BOX.finditer(text))[-MAX_BOXES:]
    contents: list[str] = []
    start = -1
    for opening in reversed(openings):
        end = _closing_brace(text, opening.end())
        if end is None:
            continue
        if contents:
            between = text[end + 1 : start]
            if end >= start or len(between) > 60 or not _lists_boxes(between):
                break
        contents.insert(0, text[opening.end() : end])
        start = opening.start()
    if contents:
        return ", ".join(dict.fromkeys(content.strip() for content in contents))
    bare = _BARE_BOX.findall(text)
    return bare[-1] if bare else None


def _lists_boxes(between: str) -> bool:
    """Whether two boxes are one list, and not a first answer and its correction."""
    if _BETWEEN_BOXES.fullmatch(between):
        return not between or bool(re.search(r",|;|and|or|和|或", between))
    return bool(_AND_BEFORE_BOX.fullmatch(between))


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start, start + MAX_ANSWER + 1):
        if brace.end() - brace.start() == 2:
            continue  # an escaped brace, as in \{1, 2\}
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return brace.start()
    return None


def _last_tagged(text: str) -> str:
    """What stands in the last `<answer>...</answer>`; nothing if no tag opens it."""
    before, _, tagged = text[: text.rindex("</answer>")].rpartition("<answer>")
    return tagged.strip() if before or text.startswith("<answer>") else ""


def _find_marked(text: str) -> Iterator[Place]:
    ends = [match.end() for match in _MARKER.finditer(text)]
    for end in reversed(ends[-3:]):  # an earlier one only if nothing can be read after a later one
        if sentence := _sentence(text[end : end + 2 * MAX_ANSWER]):
            yield Place("marked", sentence)


def _sentence(text: str) -> str:
    """The first sentence, or the displayed formula that stands first."""
    skipped = _SKIP.match(text)
    text = text[skipped.end() if skipped else 0 :]
    if display := _DISPLAY.match(text):
        return (display.group(1) or display.group(2)).strip()
    end = _SENTENCE_END.search(text)
    return (text[: end.start()] if end else text).strip()


def _last_row(formula: str) -> str:
    """Of a formula set over several rows, what stands after the last `&=`."""
    if "matrix" in formula or "array" in formula or "cases" in formula:
        return formula
    return formula.rpartition("\\\\")[2].rpartition("&=")[2].replace("&", "")


def _final_line(text: str) -> str:
    text = text.rstrip()
    if text.rstrip(".,").endswith(("\\]", "$$", "}")) and (
        display := _LAST_DISPLAY.search(text, max(0, len(text) - 1100))
    ):
        return f"${' '.join(_last_row(display.group(1)).split())}$"
    line = text.rpartition("\n")[2].strip()
    if len(line) > MAX_ANSWER:  # a response in one paragraph: its last sentence
        line = line[-MAX_ANSWER:].rstrip(" .").rpartition(". ")[2]
    return line
