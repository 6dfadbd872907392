"""From a problem to the prompt that a model sees: system prompt, suffix, chat template, length check."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from spine_rl.errors import ConfigError, DataError, shorten
from spine_rl.problems.chats import to_texts
from spine_rl.problems.images import name_image
from spine_rl.problems.placeholders import place_images, to_parts
from spine_rl.problems.problem import Messages, Problem


@dataclass(frozen=True)
class PromptStyle:
    """What is put around a problem's text.

    Attributes:
        system_prompt: A system message (plain-text prompts: a first paragraph), unless the chat has one.
        prompt_suffix: Added to the last user message, e.g. " Put the final answer in \\boxed{}."
        chat_template_kwargs: Given to the model's chat template, e.g. {"enable_thinking": False}.
    """

    system_prompt: str | None = None
    prompt_suffix: str = ""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("system_prompt", "prompt_suffix"):
            try:
                (getattr(self, name) or "").encode()
            except UnicodeEncodeError as error:
                half = ascii(error.object[error.start])
                raise ConfigError(f"{name}: {half} is half of a character, which is no text; mend it") from None

    def describe(self) -> dict[str, Any]:
        """As settings keep it: without arguments of the template, where none were given."""
        return {name: value for name, value in asdict(self).items() if name != "chat_template_kwargs" or value}


def build_prompt(problem: Problem, style: PromptStyle, *, chat: bool) -> str | Messages:
    """The prompt in TRL's form: chat messages if the model has a chat template (`chat`), else plain text.

    A problem with images becomes a chat with image parts; `order_images` gives the pictures that fill them.

    Raises:
        DataError: The problem is a chat or has images, and the model has no template for one.
    """
    prompt = problem.prompt
    if problem.images and chat:
        prompt = to_parts(place_images(prompt, len(problem.images))[0])
    if isinstance(prompt, str):
        if problem.images:
            raise DataError(f"problem {problem.id!r} has images, but the model has no chat template to put them in")
        text = prompt + style.prompt_suffix
        if not chat:
            return f"{style.system_prompt}\n\n{text}" if style.system_prompt else text
        prompt = [{"role": "user", "content": text}]
    elif not chat:
        raise DataError(f"problem {problem.id!r} is a chat, but the tokenizer has no chat template; give plain text")
    elif style.prompt_suffix:
        prompt = [*prompt[:-1], _append_text(prompt[-1], style.prompt_suffix)]
    if style.system_prompt and prompt[0]["role"] != "system":
        prompt = [{"role": "system", "content": style.system_prompt}, *prompt]
    return to_parts(prompt) if problem.images else prompt


def build_text_prompts(problems: Sequence[Problem], style: PromptStyle, *, chat: bool) -> list[str | Messages]:
    """`build_prompt` of problems without images for a language model: chats have texts only, no parts."""
    prompts = [build_prompt(problem, style, chat=chat) for problem in problems]
    return [prompt if isinstance(prompt, str) else to_texts(prompt) for prompt in prompts]


def build_chat(problem: Problem) -> Messages:
    """A problem's messages as they are, with nothing put around them."""
    prompt = build_prompt(problem, PromptStyle(), chat=True)
    assert not isinstance(prompt, str)
    return prompt


def order_images(problem: Problem) -> list[Any]:
    """A problem's pictures in the order of the image parts of its prompt."""
    return [image for _, image in _number_images(problem)]


def show_prompt(problem: Problem) -> str:
    """The prompt as text, for a person: each picture's name where the picture stands, roles where there are several."""
    if isinstance(problem.prompt, str) and not problem.images:
        return problem.prompt
    messages = build_chat(problem)
    names = (f"⟦image {number}: {name_image(image)}⟧" for number, image in _number_images(problem))
    texts = []
    for message in messages:
        parts = message["content"] or ""
        if not isinstance(parts, str):
            parts = "".join(next(names) if part["type"] == "image" else part["text"] for part in parts)
        texts.append(parts if len(messages) == 1 else f"{message['role']}: {parts}")
    return "\n".join(texts)


def _number_images(problem: Problem) -> list[tuple[int, Any]]:
    """`order_images`, each with its number among the problem's pictures, from 1."""
    if not problem.images:
        return []
    return [(index + 1, problem.images[index]) for index in place_images(problem.prompt, len(problem.images))[1]]


def encode_prompts(
    tokenizer: Any, prompts: Sequence[str | Messages], chat_template_kwargs: Mapping[str, Any] = {}
) -> list[list[int]]:
    """Token ids of each prompt, with the model's turn opened; a chat template brings its own special tokens.

    Raises:
        DataError: The chat template refuses a chat.
    """
    ids = []
    for number, prompt in enumerate(prompts, start=1):
        is_chat = not isinstance(prompt, str)
        text = _render(tokenizer, prompt, number, chat_template_kwargs) if is_chat else prompt
        ids.append(tokenizer(text, add_special_tokens=not is_chat).input_ids)
    return ids


def _render(tokenizer: Any, chat: Messages, number: int, chat_template_kwargs: Mapping[str, Any]) -> str:
    try:
        return tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **chat_template_kwargs)
    except Exception as error:  # a program of another's: some allow no system message, or no two of the user's in a row
        roles = ", ".join(message["role"] for message in chat)
        raise DataError(
            f"problem number {number}: the model's chat template refuses its messages, of {roles} "
            f"({shorten(error, 200)}); write them as the model's card says, or leave system_prompt out"
        ) from None


def check_prompt_lengths(
    problems: Sequence[Problem], prompt_lengths: Sequence[int], *, context: int | None, max_new_tokens: int
) -> None:
    """Refuses prompts that leave no room for a response.

    Args:
        problems: The problems.
        prompt_lengths: Tokens of each problem's rendered prompt.
        context: The model's, in tokens; None if it states none.
        max_new_tokens: Longest response.

    Raises:
        ConfigError: A prompt, or a prompt with its response, is longer than the context.
    """
    if context is None:
        return
    longest = max(range(len(problems)), key=prompt_lengths.__getitem__)
    length, problem_id = prompt_lengths[longest], problems[longest].id
    if length >= context:
        raise ConfigError(
            f"problem {problem_id!r}: its prompt has {length} tokens, the model's context is {context}; "
            "shorten or remove it"
        )
    if length + max_new_tokens > context:
        raise ConfigError(
            f"problem {problem_id!r}: prompt of {length} tokens plus a response of up to {max_new_tokens} is over the "
            f"model's context of {context}; lower the maximum response length to {context - length} or less"
        )


def _append_text(message: dict[str, Any], suffix: str) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": content + suffix}
    return {**message, "content": [*(content or []), {"type": "text", "text": suffix}]}
