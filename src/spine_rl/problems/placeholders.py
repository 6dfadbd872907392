"""Where pictures stand: placeholders `<image>`, `<image1>`, ... in a text become image parts of a chat message."""

import re
from typing import Any

from spine_rl.errors import DataError
from spine_rl.problems.problem import Messages

_PLACEHOLDER = re.compile(r"<image(\d{0,3})>", re.ASCII)


def place_images(prompt: str | Messages, num_images: int) -> tuple[Messages, list[int]]:
    """Chat messages with image parts, `{"type": "image"}`, where the pictures stand.

    `<image2>` is the second picture, where it stands first; once more it is a mention, and stays text. `<image>` is
    the next picture without a place. Pictures that no placeholder names come first. A chat that has image parts already
    is taken as it is.

    Args:
        prompt: Of a problem.
        num_images: Its pictures, at least one.

    Returns:
        The messages, and the pictures' indices in the order in which they stand there.

    Raises:
        DataError: A placeholder without a picture, or image parts that are not as many as the pictures.
    """
    messages: Messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
    num_parts = sum(part.get("type") == "image" for part in parts)
    if num_parts:
        if num_parts != num_images:
            raise DataError(f"its chat has {num_parts} image parts, and the row {num_images} images; give one for each")
        return messages, [*range(num_images)]
    placed: list[int] = []
    messages = [
        {**message, "content": _split(message["content"], num_images, placed)} if _is_users(message) else message
        for message in messages
    ]
    unplaced = [index for index in range(num_images) if index not in placed]
    first = next((number for number, message in enumerate(messages) if message["role"] == "user"), None)
    if first is None:
        raise DataError("its chat has images and no message of the user; add one")
    content = messages[first]["content"]
    messages[first] = {**messages[first], "content": [*({"type": "image"} for _ in unplaced), *content]}
    return messages, unplaced + placed


def to_parts(messages: Messages) -> Messages:
    """Every content as a list of parts, as processors of image-text models want it."""
    return [{**message, "content": _to_parts(message["content"])} for message in messages]


def _to_parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _is_users(message: dict[str, Any]) -> bool:
    return message["role"] == "user" and isinstance(message["content"], str)


def _split(text: str, num_images: int, placed: list[int]) -> list[dict[str, Any]]:
    """Parts of a text; the pictures' indices are added to `placed`."""
    parts: list[dict[str, Any]] = []
    start = 0
    for match in _PLACEHOLDER.finditer(text):
        free = (index for index in range(num_images) if index not in placed)
        index = int(match[1]) - 1 if match[1] else next(free, num_images)
        if not 0 <= index < num_images:
            raise DataError(
                f"placeholder {match[0]} has no image, the row has {num_images}; add it or remove the placeholder"
            )
        if index in placed:
            continue
        placed.append(index)
        parts += [{"type": "text", "text": text[start : match.start()]}, {"type": "image"}]
        start = match.end()
    parts.append({"type": "text", "text": text[start:]})
    return [part for part in parts if part.get("text") != ""]
