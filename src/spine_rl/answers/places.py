"""Where in a response an answer stands, in order of trust. Only plain scans, over a bounded tail of the text.

1. the last balanced `\\boxed{...}` (several, if only commas or "and" stand between them), placeholders apart; a
   response that was cut off in a later box has no answer;
2. the last `<answer>...</answer>`: the sentence after an "answer is" in it, else its final line;
3. the answer that a JSON object at the end names, or what follows the last `####`;
4. the sentence after the last "answer is", "Answer:", "A:" at the start of a line, "答案" and the like (`markers.py`);
5. a first line before an "Explanation:" that is a number, or a few words that no short line follows; or else the final
   line, courtesies apart, of a response that was not cut off and has no box, not even an empty one;
6. for a choice: a first line that is a letter (before 5), and what is said of letters anywhere (after it).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from spine_rl.answers.markers import LANGUAGES, PLACEHOLDER, join, words
from spine_rl.answers.objects import read_object
from spine_rl.answers.refusals import refuses
from spine_rl.answers.turns import read_final_turn, strip_courtesies

MAX_SCANNED = 20_000  # characters at the end of a response; an answer stands last
MAX_ANSWER = 1_000  # characters; anything longer is no answer
MAX_BOXES = 50  # `\boxed{` looked at, from the end
MAX_MARKERS = 3  # an earlier one only if nothing can be read after a later one

_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,5}\{")
_BARE_BOX = re.compile(r"\\boxed\s{1,5}([^\s{}$]{1,100})")
_BRACE = re.compile(r"\\?[{}]")
_BETWEEN_BOXES = re.compile(r"(?:[\s$;,]|\\[()\[\]]|\\q?quad|\\text\{\s*,?\s*(?:and|or)\s*\}|\band\b|\bor\b|和|或)*")
_AND_BEFORE_BOX = re.compile(r"[^.\n]{0,40}\b(?:and|or)\b(?:[\s$}]|\\[()\[\]])*(?:[\w(){}\\]{1,20}\s*=\s*)?")
_PLACEHOLDER = re.compile(
    rf"(?:\\(?:text\w*|math\w*|textbf|ldots|dots|cdots|square|Box|underline|_|quad|hspace)|\W|_)*(?:{PLACEHOLDER})?\W*",
    re.IGNORECASE,
)
_TAG = re.compile(r"<([A-Za-z][\w\s-]*)>")
_SIGN = re.compile(
    r"∅|∞|√|\\(?!text|math|ldots|dots|cdots|square|Box|underline|_|quad|hspace)[A-Za-z]+|[<>=%±]|\{\s*\\?\}"
)
_ASIDE = r"(?:\s{0,3}[(\[（【][^()\[\]（）【】\n]{1,80}[)\]）】])?"
_NO_OPTION = r"(?![a-j](?:\s(?:is|was|are|est|ist|es)\b|\s?[:：=]))"  # Option A is, of which a and I are words, too
_FILLER = rf"(?:\s{_NO_OPTION}(?:{join('fillers', spaced=True)})\b[^.\n:：=?]{{0,80}}?)?"
_MARKER = re.compile(
    rf"\b(?:{join('answer', spaced=True)})\b[*_\s\"”]{{0,9}}{_ASIDE}{_FILLER}[*_\s,]{{0,9}}"
    rf"(?:(?<!\w)(?:{join('is_', spaced=True)})(?!\w)(?!\s*(?:not|to)\b)|[:：=→|]|[-=]>|\*\*\s*\n)"
    rf"|\b(?:{join('answer', spaced=True)})\b[*_ ]{{0,4}}[-–—](?=\s)"
    rf"|【\s*(?:{join('answer', spaced=False)})\s*】|(?:{join('answer', spaced=False)}){_ASIDE}[*\s]{{0,4}}"
    rf"(?:(?:{join('is_', spaced=False)})(?!不)|[:：=]|(?=\s{{0,3}}[(（]?[A-J](?![A-Za-z]))|】)"
    r"|(?<=#\s)Answer[*_\s]{0,4}\n|(?<=Final\s)Answer[*_\s]{0,4}\n"
    r"|(?<![不可])选择?[:：]?(?=\s{0,3}[(（]?[A-J](?![A-Za-z]))|(?<![\u4e00-\u9fff])答[:：]",
    re.IGNORECASE,
)
_LINE_MARKER = re.compile(r"^[*_#>\s]{0,6}(?:A|答)\s?[*_]{0,2}\s?[:：](?!.*\n\s*\(?B\s?[:：.)])", re.MULTILINE)
_ASCII_STEMS = tuple(stem for language in LANGUAGES for stem in language.stems if stem.isascii())
_STEMS = re.compile("|".join(stem for language in LANGUAGES for stem in language.stems), re.IGNORECASE)
MAX_BEFORE = 60  # characters before a marker, where it may be declined
MAX_STEMS = 30  # looked at from the end
_LETTERS = tuple("(（ABCDEFGHIJ")
_ENDS_IN_OPTIONS = re.compile(r"(?:^|\n)\s*[(（]?[A-I][.)）:：、][^\n]*\n+\s*[(（]?[B-J][.)）:：、][^\n]*$")
_NO_TITLE = r"(?<!\b[DM]r\.)(?<!\bMs\.)(?<!\bMrs\.)"
_NO_ABBREVIATION = r"(?<!\b[SMF]t\.)(?<!\bvs\.)(?<!(?<!\.)\b[A-Z]\.[A-Z]\.)"
_NEXT_SENTENCE = r"\s(?:The|It|Its|This|That|These|There|He|She|They|We|So|[Bb]ecause|[Ss]ince|In|However|But)\b"
_SENTENCE_END = re.compile(  # not in St. Louis, J.K. Rowling
    rf"[.!](?=\s|$)(?<!\\[.!])(?:(?=$|\n)|{_NO_TITLE}(?:(?={_NEXT_SENTENCE})|{_NO_ABBREVIATION}))"
    r"|[。।؟]|！|．(?!\d)|\n"
)
_DISPLAY = re.compile(r"\s*(?:\\\[(.{1,1000}?)\\\]|\$\$(.{1,1000}?)\$\$)", re.DOTALL)
_LAST_DISPLAY = re.compile(
    r"(?:\\\[|\$\$|\\begin\{(?:align|equation|gather)\*?\})((?:\\\$|[^$]){1,1000}?)"
    r"(?:\\\]|\$\$|\\end\{(?:align|equation|gather)\*?\})[\s.,]{0,5}$"
)
_ROWS = re.compile(r"\s*\\begin\{(aligned|split|gathered|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}[\s.,]*", re.DOTALL)
_FENCE = re.compile(r"^[ \t]{0,8}(?:```|~~~)[\w+-]{0,20}[ \t]{0,8}(?:\n|\Z)", re.MULTILINE)
_ITEM = re.compile(r"[*_#\s]{0,6}(Step\s)?(\d{1,2})(?(1)[.):]|[.)])[*_\s]{1,4}", re.IGNORECASE)  # 4: 5 is a ratio
MAX_FIRST = 40  # characters of a first line that is the answer, its reasons after it
_WHY = rf"\n\s*+[*_#>]{{0,4}}\s?(?i:{words('explains')})\s?[:：]"
_VALUE = r"[-+−]?(?:\\?[$€£¥])?(?:\\[dt]?frac\{\d+\}\{\d+\}|\d[\d,]*(?:\.\d+|/\d+)?)(?:\s?\\?%)?"
_UNIT = r"(?:\s?[^\W\d_A-Z]{1,12}\.?)?"
# A first line that is a value in full, before its reasons; one in words, only if no line after the reasons is short
# enough to be the answer. "Step 1", "Case two" and "Given 3 boxes" are headings.
_EXPLAINED = re.compile(
    rf"\s*+(?:(?:\*\*|\$|\\\()?((?:[a-z]\s?=\s?)?{_VALUE}{_UNIT})(?:\*\*|\$|\\\))?[ \t]{{0,9}}(?={_WHY})"
    rf"|((?=[^\W\d])(?!\w+\s(?:one|two|three|four|five)\b)(?:[^\n\d]{{0,30}}\b(?:is|are)\s{_VALUE}\.|[^\n\d]{{1,40}}(?<![:：?？])))"
    rf"(?={_WHY}[^\n]*+(?:\n++[^\n]{{{MAX_FIRST},}}+)*+\s*+\Z))"
)
_SKIP = re.compile(r"[\s*_:：>#`】]{0,20}")

Kind = Literal["boxed", "tagged", "named", "hashes", "marked", "first", "final", "whole"]
NO_ANSWER = ""  # read where a response declines, or names several: no other place of it counts


@dataclass(frozen=True)
class Place:
    """A stretch of text that should hold the answer, and how it was found."""

    kind: Kind
    text: str


def find_places(response: str, *, complete: bool = True) -> Iterator[Place]:
    """The places of a response, most trusted first.

    Args:
        response: Its text; chat end tokens are dropped and reasoning is skipped.
        complete: False where the response was cut off: what stands last is then no final line.
    """
    text = read_final_turn(response, MAX_SCANNED)
    if "```" in text or "~~~" in text:
        text = _FENCE.sub("", text)  # what it holds is the answer's
    if "box" in text:
        boxed, is_open = _last_boxes(text)
        if is_open and not complete:
            return  # cut off while it corrected itself
        if boxed is not None:
            yield Place("boxed", boxed)
    if "</answer>" in text and (tagged := _last_tagged(text)):
        yield from _find_marked(tagged)
        yield Place("tagged", _final_line(tagged))
    if '"' in text and "{" in text and (named := read_object(text)):
        yield Place("named", named[: 2 * MAX_ANSWER])
    if not complete:
        text = _drop_unfinished(text)
    if "####" in text:
        yield Place("hashes", text.rpartition("####")[2].strip().partition("\n")[0][: 2 * MAX_ANSWER])
    yield from _find_marked(text)
    if first := text.lstrip().partition("\n")[0]:
        yield Place("first", first)
    if complete and "\\boxed" not in text:
        if explained := _EXPLAINED.match(text):
            yield Place("final", explained[1] or explained[2])
        line = _final_line(strip_courtesies(text))
        lists_options = line.startswith(_LETTERS) and _ENDS_IN_OPTIONS.search(text[-2 * MAX_ANSWER :])
        if line and not lists_options and not _is_unfilled(line):
            yield Place("final", line)
    yield Place("whole", text)


def _drop_unfinished(text: str) -> str:
    """Without the sentence in which a response was cut off: "The answer is 1" of 18."""
    start = max(0, len(text) - 2 * MAX_ANSWER)
    return text[: max((match.end() for match in _SENTENCE_END.finditer(text, start)), default=start)]


def is_placeholder(text: str) -> bool:
    """Whether an answer was left to be filled in: `?`, `...`, `answer`, `\\text{your answer}`."""
    if len(text) > 60 or text[:1].isdigit():
        return False
    text = _TAG.sub(r"\1", text)
    return bool(_PLACEHOLDER.fullmatch(text)) and not _SIGN.search(text)


def _is_unfilled(line: str) -> bool:
    """Whether a line ends before its answer: `Answer: [your answer]`."""
    return ":" in line and is_placeholder(line.rpartition(":")[2].strip())


def _last_boxes(text: str) -> tuple[str | None, bool]:
    """Contents of the last box that balances, and of those listed with it, or of a bare `\\boxed 5`; and whether a
    later one was left open."""
    openings = list(_BOX.finditer(text))[-MAX_BOXES:]
    contents: list[str] = []
    start, is_open = -1, False
    for opening in reversed(openings):
        end = _closing_brace(text, opening.end())
        if end is None:
            is_open = is_open or not contents
            continue
        if is_placeholder(text[opening.end() : end]):
            continue
        if contents:
            between = text[end + 1 : start]
            if end >= start or len(between) > 60 or not _lists_boxes(between):
                break
        contents.insert(0, text[opening.end() : end])
        start = opening.start()
    if contents:
        return ", ".join(dict.fromkeys(content.strip() for content in contents)), is_open
    bare = _BARE_BOX.findall(text)
    return (bare[-1] if bare else None), is_open


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
    num_found, last = 0, len(text) + 1
    for start in _find_stems(text):
        marker = _MARKER.match(text, start) or _LINE_MARKER.match(text, start)
        if marker is None or marker.end() >= last:
            continue  # "Answer: the answer is 5" is one marker's
        last = marker.start()
        if refuses(text[max(0, marker.start() - MAX_BEFORE) : marker.start()]):
            yield Place("marked", text[max(0, marker.start() - MAX_BEFORE) : marker.end()].rpartition("\n")[2])
        elif not is_placeholder(sentence := _sentence(text[marker.end() : marker.end() + 2 * MAX_ANSWER])):
            yield Place("marked", sentence)
        num_found += 1
        if num_found == MAX_MARKERS:
            return


def _find_stems(text: str) -> list[int]:
    """Where a marker may begin, the last first."""
    found = [match.start() for match in _LINE_MARKER.finditer(text)] if "A" in text or "答" in text else []
    if text.isascii():
        lower = text.lower()
        for stem in _ASCII_STEMS:
            at = lower.rfind(stem)
            for _ in range(MAX_STEMS):
                if at < 0:
                    break
                found.append(at)
                at = lower.rfind(stem, 0, at)
    else:
        found += [match.start() for match in _STEMS.finditer(text)]
    return sorted(set(found), reverse=True)[:MAX_STEMS]


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
    if (rows := _ROWS.fullmatch(formula)) and (rows[1] != "array" or "&=" in formula):
        formula = rows[2]
    if "matrix" in formula or "array" in formula:
        return formula.rpartition("&=")[2]
    return formula if "cases" in formula else formula.rpartition("\\\\")[2].rpartition("&=")[2].replace("&", "")


def _final_line(text: str) -> str:
    text = text.rstrip()
    if text.rstrip(".,").endswith(("\\]", "$$", "}")) and (
        display := _LAST_DISPLAY.search(text, max(0, len(text) - 1100))
    ):
        return f"${' '.join(_last_row(display.group(1)).split())}$"
    line = text.rpartition("\n")[2].strip()
    if len(line) > MAX_ANSWER:  # a response in one paragraph: its last sentence
        line = line[-MAX_ANSWER:].rstrip(" .").rpartition(". ")[2]
    item = _ITEM.match(line)
    if item and any(other[2] == str(int(item[2]) - 1) for other in map(_ITEM.match, text.split("\n")) if other):
        return line[item.end() :]  # the last of a list
    return line
