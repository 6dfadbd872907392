"""Chat messages as data sets have them: checked, and the pictures that their parts hold taken out.

Contents are text, or lists of parts `{"type": "text", "text": ...}` and `{"type": "image"}`. An image part may hold its
picture, as transformers' templates have it (`image`, `path`, `url`, `base64`) or as `{"type": "image_url"}` does. It is
taken out, so that every picture is found, checked and opened in one way, and none is downloaded unasked.
"""

import re
from typing import Any

from spine_rl.errors import DataError
from spine_rl.problems.problem import Messages
from spine_rl.problems.text_file import describe_kind

_PAYLOADS = ("image", "image_url", "path", "url", "base64")
_ASKING = ("user", "tool")  # whose messages a model answers
_AS_TEXT = re.compile(r"""\s*\[\s*\{\s*["'](role|content)["']\s*:""")  # JSON, or as Python prints it


def check_chat(where: str, prompt: Any, column: str) -> Messages:
    """The messages, their parts without the keys that are None, as columns of Arrow have them.

    Raises:
        DataError: It is no chat, has content that is not read, or does not end with a question: a data set's own answer
            would be shown to the model.
    """
    is_chat = isinstance(prompt, list) and all(
        isinstance(message, dict) and isinstance(message.get("role"), str) and "content" in message
        for message in prompt
    )
    if not is_chat or not prompt:
        raise DataError(
            f"{where}: column {column!r} must be text or a list of chat messages with role and content, "
            f"got {describe_kind(prompt)}"
        )
    messages = [{**message, "content": _check_content(where, message)} for message in prompt]
    last = messages[-1]["role"]
    if last not in _ASKING:
        raise DataError(
            f"{where}: its chat ends with a message of {last!r}, which the model would be shown as part of the "
            "question; end it with the user's"
        )
    return messages


def refuse_chat_as_text(where: str, prompt: str, column: str) -> None:
    """Raises DataError where a text is a chat in brackets and quotes, as a CSV has it: the model would read those."""
    if _AS_TEXT.match(prompt):
        raise DataError(
            f"{where}: column {column!r} holds a chat written as text, brackets and all; write it as a list of "
            "messages, in a .jsonl or .parquet file"
        )


def has_text(text: str) -> bool:
    """Whether there is anything in it to read."""
    return any(character.isprintable() and not character.isspace() for character in text)


def says_something(messages: Messages) -> bool:
    """Whether a message that asks has a text or a picture."""
    contents = [message["content"] or "" for message in messages if message["role"] in _ASKING]
    parts = [part for content in contents if not isinstance(content, str) for part in content]
    texts = [content for content in contents if isinstance(content, str)]
    return any(part["type"] != "text" or has_text(part["text"]) for part in parts) or any(map(has_text, texts))


def take_images(messages: Messages) -> tuple[Messages, list[Any]]:
    """The messages with bare image parts, and what each part held, in their order; None of one that held nothing."""
    held: list[Any] = []
    bare = [
        {**message, "content": [_empty(part, held) for part in message["content"]]}
        if isinstance(message["content"], list)
        else message
        for message in messages
    ]
    return bare, held


def fill_images(held: list[Any], cells: list[Any]) -> list[Any]:
    """A picture for every image part: its own, or the next of the row's.

    Args:
        held: Of `take_images`.
        cells: Of the row's image column.

    Raises:
        DataError: The row has more pictures, or fewer.
    """
    missing = sum(content is None for content in held)
    if missing != len(cells):
        empty = "" if missing == len(held) else " without a picture of their own"
        raise DataError(
            f"its chat has {missing} image parts{empty}, and the row {len(cells)} images; give one for each"
        )
    rest = iter(cells)
    return [next(rest) if content is None else content for content in held]


def to_texts(messages: Messages) -> Messages:
    """Contents of text parts as one text each, as the templates of language models want it."""
    return [
        {**message, "content": "".join(part["text"] for part in message["content"])}
        if isinstance(message["content"], list)
        else message
        for message in messages
    ]


def _check_content(where: str, message: dict[str, Any]) -> Any:
    content = message["content"]
    if isinstance(content, str) or (content is None and message.get("tool_calls")):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise DataError(
            f"{where}: a message's content must be text or a list of parts {{'type': 'text' or 'image', ...}}, got "
            f"{describe_kind(content)}"
        )
    parts = [{name: value for name, value in part.items() if value is not None} for part in content]
    for part in parts:
        if part.get("type") not in ("text", "image", "image_url"):
            raise DataError(
                f"{where}: a message has a part of type {part.get('type')!r}; text and image parts are read, remove it"
            )
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise DataError(f"{where}: a message has a text part without text; fill or remove it")
    return parts


def _empty(part: dict[str, Any], held: list[Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return part
    content = next((part[name] for name in _PAYLOADS if name in part), None)
    held.append(content.get("url", content) if isinstance(content, dict) else content)
    return {"type": "image", **{name: value for name, value in part.items() if name not in ("type", *_PAYLOADS)}}
