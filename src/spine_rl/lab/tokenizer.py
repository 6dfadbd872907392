"""The lab model's tokenizer: printable ASCII characters and a few phrases, built from nothing."""

import string
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from spine_rl.lab.families.arithmetic import PROMPT
from spine_rl.lab.families.family import ANSWER_OPENER, STEP_SEPARATOR, STYLE_OPENERS

PAD, UNKNOWN, END = "<|pad|>", "<|unknown|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
PHRASES = (PROMPT, *STYLE_OPENERS.values(), STEP_SEPARATOR, ANSWER_OPENER)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


# Of image-text models: what a message holds is a list of parts.
IMAGE = "<image>"
IMAGE_CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_tokenizer(more_phrases: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Builds the tokenizer: one token a character, one for each recurring phrase, ChatML-like role tokens.

    Args:
        more_phrases: Further recurring phrases; their ids come last, so that a base can be taught more families.
    """
    characters = sorted(set(string.printable) - set("\r\x0b\x0c"))
    special_tokens = (PAD, UNKNOWN, END, *ROLES)
    tokens = dict.fromkeys((*special_tokens, *PHRASES, *characters, *more_phrases))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    longest_first = sorted((*PHRASES, *more_phrases), key=len, reverse=True)
    phrases = "|".join(map(_escape, longest_first))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{phrases}|[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _escape(phrase: str) -> str:
    return "".join(character if character.isalnum() or character == " " else f"\\{character}" for character in phrase)
