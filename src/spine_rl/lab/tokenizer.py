"""The lab model's tokenizer: printable ASCII characters and a few phrases, built from nothing."""

import string

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


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Builds the tokenizer: one token a character, one for each recurring phrase, ChatML-like role tokens."""
    characters = sorted(set(string.printable) - set("\r\x0b\x0c"))
    special_tokens = (PAD, UNKNOWN, END, *ROLES)
    vocabulary = {token: index for index, token in enumerate((*special_tokens, *PHRASES, *characters))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    phrases = "|".join(_escape(phrase) for phrase in PHRASES)
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
