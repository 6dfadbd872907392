"""The text of each token, so that the pieces together are the whole text."""

from collections.abc import Sequence
from typing import Any

_INCOMPLETE = "\ufffd"  # what a decoder writes for the first bytes of a character whose last are in a later token


def split_text(tokenizer: Any, token_ids: Sequence[int]) -> list[str]:
    """The text that each token adds, special tokens included; a character of several tokens stands at its last one.

    Decodes short windows, so time is linear in the number of tokens.
    """

    def decode(start: int, stop: int) -> str:
        ids = list(token_ids[start:stop])
        return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    pieces: list[str] = []
    context = done = 0  # the window starts one whole piece earlier: some decoders drop a first token's space
    for stop in range(1, len(token_ids) + 1):
        text = decode(context, stop)
        if text.endswith(_INCOMPLETE) and stop < len(token_ids) and stop - done < 4:
            pieces.append("")
            continue
        pieces.append(text[len(decode(context, done)) :])
        context, done = done, stop
    return pieces
