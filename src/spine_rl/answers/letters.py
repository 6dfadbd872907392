"""Which letter a text names: at its start, by what is said of it ("B is correct", "I choose B"), or on a line alone."""

import re
import unicodedata

from spine_rl.answers.markers import join, words
from spine_rl.answers.places import NO_ANSWER

LETTERS = "ABCDEFGHIJ"

_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf|mbox|bf|rm|boxed|operatorname)\s{0,3}\{([^{}]*)\}")
_APOSTROPHE = re.compile(r"(?<=[A-Za-zÀ-ÿ])[’](?=[A-Za-zÀ-ÿ])")
_DECORATION = re.compile(
    r"(?:[*_$`\"“”‘’\s{}]|(?<![A-Za-zÀ-ÿ])'|'(?![A-Za-zÀ-ÿ]))+|\\[()\[\],;:!]|\\(?:quad|qquad|left|right|bf|rm)(?![a-z])"
)
_AFTER = r"(?![\w'’]|\s?=|[-–]\w)"
_LETTER = (
    rf"(?:[(\[（【「<]\s?(?P<bracketed>[A-Ja-j])\s?[)\]）】」>]|(?P<bare>[A-Ja-j])(?:[)）](?!\w))?{_AFTER}"
    r"|(?P<cjk>(?-i:[A-J]))(?=[\u3040-\u9fff\uac00-\ud7af]))"
)
_ARTICLES = r"(?:the|la|le|l'|die|der|das|el|a|il|o)"
_LEADING = re.compile(
    rf"(?:{_ARTICLES}\s+)?"
    rf"(?:(?:{join('hedges', spaced=True)}|correct|best|right|final|correcte|richtige|bonne|is|be)\s+"
    rf"|(?:{join('hedges', spaced=False)})\s*)*[,:：]?\s*"
    rf"(?:(?:{words('option')})(?:\s*(?:is|est|ist))?\s*[:：]?\s*)?{_LETTER}",
    re.IGNORECASE,
)
_JOINER = rf"(?:[,，;；、/&+]|(?<!\w)(?:{join('and_', spaced=True)})(?!\w)|(?:{join('and_', spaced=False)}))"
_NO_PRONOUN = r"(?!I\s(?!(?:and|or|is|are)\b)[a-z])"  # "C, I think" names one
_ANOTHER = re.compile(
    rf"\s*(?:{_JOINER}\s*)+(?:(?:{join('hedges', spaced=True)})\s+)?(?:{words('option')}\s*)?"
    rf"[(\[（【]?{_NO_PRONOUN}[A-J][)\]）】]?(?![A-Za-z0-9'’])(?!\s*(?:is|was|does|would|can)\b)"
    rf"(?!\s*(?:{join('wrong')}))|\s*[(（\[][A-J][)）\]](?!\w)"
)
_LISTED = re.compile(r"\s*(?:[,，、/]\s*)(?:[(\[（]?[A-J][)\]）]?)\s*(?:$|[,.;、。]|and\b|or\b|both\b)")
_RUN = re.compile(r"[(\[（]?(?=[A-J]{2,6}[)\]）]?(?:$|[\s.,;:。，；]))A?B?C?D?E?F?G?H?I?J?[)\]）]?")
_SO = re.compile(r"(?:so|then|thus|hence|therefore|因此|所以|故|donc|also|итак|따라서)\s*[,，:]?\s*", re.IGNORECASE)
_PRONOUN = re.compile(r"(?!because|since|as|is\b)[a-z']")
_LINE = re.compile(r"[(\[（]?\s?[A-J]\s?[)\]）]?\s?[.:：。]?|[a-j]|[(\[（]?[a-j][)\]）]")
LETTERED_LINE = re.compile(r"(?:[(\[（]([A-J])[)\]）]|([A-J])[.):：、](?=\s|$))")
_DENIED = re.compile(
    r"(?:(?:option|choice|answer)\s?)?[(\[]?(?-i:\b[A-J])[)\]]?\s?[:–—-]\s?(?:incorrect|wrong|eliminated)\b|"
    r"(?:incorrect|wrong|false|eliminated|excluded)(?:\s(?:options?|answers?|choices?))(?:\s(?:is|are))?\s?:?\s?[(\[]?(?-i:[A-J])\b|"
    rf"(?:{words('not_')})(?:\s(?:be|an?|the|it))*\s*(?:{words('option')})?\s*[(\[（]?(?-i:[A-J])[)\]）]?(?![\w'’])"
    rf"|(?:{words('option')}\s*)?(?:(?-i:\b[A-J])\s*(?:{_JOINER}\s*){{1,2}}){{0,9}}[(\[（]?(?<![A-Za-z])(?-i:[A-J])[)\]）]?"
    rf"(?:\s*(?:选项|项))?(?:[^，。；,;.\n]{{0,12}}?(?:{join('wrong', spaced=False)})"
    rf"|(?:\s(?:{join('wrong', spaced=True)})))",
    re.IGNORECASE,
)
# A and I are words too: "A patient", "I think", but "A is".
_ONE = (
    r"(?-i:([B-HJ]|[AI](?!\s(?!(?:is|was|seems|looks|appears|would|must|should|because|since|as|for|and|or|given|due"
    r"|ist|est|es)\b)[a-z])))"
)
_TOKEN = rf"[(\[（]?(?<![A-Za-z\\]){_ONE}[)\]）]?(?![\w'’])"
_TOKEN_CJK = rf"[(\[（]?(?<![A-Za-z\\]){_ONE}[)\]）]?(?![A-Za-z0-9'’])"
_NOUN_FIRST = re.compile(rf"{words('option')}\s*(?:is\s*|est\s*|ist\s*)?[:：]?\s*{_TOKEN_CJK}", re.IGNORECASE)
_BRACKETED = re.compile(r"(?<![A-Za-z\\])[(（\[【]([A-J])[)）\]】]")
_CHOSEN = re.compile(
    rf"(?:{words('choose')})\s*(?:(?:the|la|le|die|den)\s)?(?:{words('option')}\s*)?{_TOKEN_CJK}(?=\s*(?:$|[.,;:!。，；]|because|since|as\b|for\b|due|项|选))",
    re.IGNORECASE,
)
_IS_HEDGED = re.compile(
    rf"\b(?:be|is|[Ii]t's|with|est|ist|это)\s+(?:(?:{join('hedges', spaced=True)})\s+)+{_TOKEN}"
    r"(?=\s*(?:$|[.,;:!]|because|since|as\b|given|due))"
)
_IS_LAST = re.compile(rf"\b(?:be|is|est|ist|[Ii]t's|with|chose|choose|pick|select)\s+{_TOKEN}$")
_SO_LAST = re.compile(
    r"(?:\b(?:so|therefore|thus|hence|then|but|leaving|leaves|by (?:process of )?elimination|donc|also|somit|mais"
    rf"|sondern|sino|итак)\b|因此|所以|故)[\s,，:]*{_TOKEN}$",
    re.IGNORECASE,
)
_ONLY = re.compile(rf"\bonly\s+(?:{words('option')}\s*)?{_TOKEN}\s+[a-z]", re.IGNORECASE)
_LOWER = re.compile(rf"((?:{words('option')}|\b(?:is|be|est|ist)|'s)\s*)[(\[（]([a-j])[)\]）]", re.IGNORECASE)
_LIST = re.compile(r"(?:[(]?A[.):]\s.{1,300}?[.;,!?]?\s[(]?B[.):]\s)")  # the options, on one line
_HEADED = re.compile(rf"{words('option')}\s*{_TOKEN}\s?[:：]", re.IGNORECASE)
_RIGHT = re.compile(
    rf"{_TOKEN_CJK}(?:\s?(?:选项|项|番|번))?(?:(?:[.:)]?\s[^.\n]{{1,80}}?)?\s*(?:{words('right')})(?!\s*(?:not|不)))",
    re.IGNORECASE,
)
_BEST = re.compile(
    rf"{_TOKEN_CJK}(?:\s?(?:选项|项|番|번))?(?:(?:[.:)]?\s[^.\n]{{1,80}}?)?\s*(?:{words('best')}))", re.IGNORECASE
)
_SAID_RIGHT = re.compile(rf"{words('right')}|{words('best')}", re.IGNORECASE)
_LEAD = re.compile(r"^[>•→⇒∴=#✅✓✔☑👉-][>•→⇒∴=#✅✓✔☑👉\ufe0f\s-]*+(?=[*_(\[（\s]*[A-J](?![\w'’]))")
_SENTENCE = re.compile(r"(?<=[.!?])\s|[\n。！？]")
MAX_SENTENCES = 40


def strip_phrase(text: str) -> str:
    """A phrase without wrappers, bold, delimiters and full-width forms."""
    if not text.isascii():
        text = "".join(unicodedata.normalize("NFKC", c) if "\uff01" <= c <= "\uff5e" else c for c in text)
        text = text.replace("−", "-")
    text = text.replace("\\&", "&")
    text = _WRAPPER.sub(r"\1", _WRAPPER.sub(r" \1 ", text)) if "\\" in text else text
    text = _LEAD.sub("", text.lstrip())  # "> B", "=> B", "- B"
    return _DECORATION.sub(" ", _APOSTROPHE.sub("'", text)).strip(" .,;:。，、!")


def is_letter_line(phrase: str) -> bool:
    """Whether nothing but a letter stands there: `C`, `(c)`, `c)`, `C.`"""
    return bool(_LINE.fullmatch(phrase))


def read_leading_letter(phrase: str, *, is_line: bool) -> str | None:
    """The letter that a phrase starts with, `NO_ANSWER` where several are named there.

    Args:
        phrase: From `strip_phrase`.
        is_line: Whether it is a line of its own, and not what follows "answer is": `A patient ...` is then no answer.
    """
    if _RUN.match(phrase) and not is_line:
        return NO_ANSWER
    so = _SO.match(phrase) if is_line else None
    phrase = phrase[so.end() :] if so else phrase
    match = _LEADING.match(phrase)
    if match is None or (is_line and _DENIED.match(phrase)):
        return None
    letter = match["bracketed"] or match["bare"] or match["cjk"]
    rest = phrase[match.end() :].strip()
    if match["bracketed"] is None:
        if letter.islower():
            return None if rest or is_line else letter.upper()
        if letter == "I" and _PRONOUN.match(rest):
            return None  # I do not know
        if letter in "AI" and is_line and rest[:1].islower() and match.end() == 1:
            return None
    elif letter.islower() and rest and is_line:
        return None
    if _ANOTHER.match(phrase, match.end()) or _LISTED.match(phrase, match.end()):
        return NO_ANSWER
    if is_line and LETTERED_LINE.match(phrase) and len(set(_BRACKETED.findall(phrase))) > 1:
        return NO_ANSWER  # the options, one after another
    if is_line and _LIST.match(phrase):
        return None  # "A. wrong, since ... B. right, since ... So B"
    if is_line and len({head[1] for head in _HEADED.finditer(phrase)}) > 1:
        return None  # "Option A: no. Option B: yes. So B"
    return letter.upper()


def read_letter_line(phrase: str) -> str | None:
    """The letter of a first line that holds nothing else."""
    return phrase.strip("()[]（）.:：。 ") if is_letter_line(phrase) and phrase.upper() == phrase else None


def read_said_in(phrase: str) -> str | None:
    """The one letter that a phrase is about; `NO_ANSWER` where it denies all that it names, or names several."""
    kept = _drop_denied(phrase)
    for pattern in (_BEST, _ONLY, _CHOSEN, _IS_HEDGED, _SO_LAST, _RIGHT, _NOUN_FIRST, _BRACKETED, _IS_LAST):
        found = _find_all(pattern, kept)
        letters = {match.group(1).upper() for match in found}
        if len(letters) > 1:
            return NO_ANSWER
        if letters:
            several = any(
                _ANOTHER.match(kept, match.end(1) + (kept[match.end(1) : match.end(1) + 1] in ")]）"))
                for match in found
            )
            return NO_ANSWER if several else letters.pop()
    return None


def read_said_anywhere(text: str) -> str | None:
    """The letter of the last sentence that says which is the answer; else of a first line "C. text" that is no list."""
    for sentence in reversed(_SENTENCE.split(text)[-MAX_SENTENCES:]):
        kept = _drop_denied(strip_phrase(sentence)) if sentence.strip() else ""
        for pattern in (_BEST, _ONLY, _CHOSEN, _IS_HEDGED):
            letters = {match.group(1).upper() for match in _find_all(pattern, kept)}
            if letters:
                return letters.pop() if len(letters) == 1 else NO_ANSWER
    return _only_right(text) or _only_lettered_line(text)


def _find_all(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Its matches; none is looked for letter by letter where nothing is said to be right ("A A A A ...")."""
    if pattern in (_BEST, _RIGHT) and not _SAID_RIGHT.search(text):
        return []
    return list(pattern.finditer(text))


def _drop_denied(phrase: str) -> str:
    """What a phrase says of letters that it does not deny; a letter in brackets may be a small one."""
    return _DENIED.sub(" ", _LOWER.sub(lambda match: f"{match[1]}({match[2].upper()})", phrase))


def _only_right(text: str) -> str | None:
    letters = {
        match.group(1).upper()
        for sentence in _SENTENCE.split(text)[-MAX_SENTENCES:]
        for match in _find_all(_RIGHT, _drop_denied(strip_phrase(sentence)))
    }
    return letters.pop() if len(letters) == 1 else None


def _only_lettered_line(text: str) -> str | None:
    """The letter of a first line "C. text", where no other line begins with a letter so."""
    lines = [strip_phrase(line) for line in text.strip().split("\n")[:MAX_SENTENCES]]
    first = LETTERED_LINE.match(lines[0]) if lines else None
    if (
        first is None
        or _LIST.match(lines[0])
        or (len(lines) > 1 and any(LETTERED_LINE.match(line) for line in lines[1:]))
    ):
        return None
    if len(set(_BRACKETED.findall(lines[0]))) > 1:
        return None
    return first.group(1) or first.group(2)
