"""Prompts of image-text models: rendered and encoded by the model's processor, pictures opened batch by batch.

The processor is called as TRL calls it in training, so that evaluation sees what training saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from spine_rl.errors import DataError, shorten
from spine_rl.problems.images import open_image
from spine_rl.problems.placeholders import to_parts
from spine_rl.problems.problem import Messages, Problem
from spine_rl.problems.prompts import PromptStyle, build_prompt, order_images


@dataclass(frozen=True)
class VisualPrompt:
    """A prompt of an image-text model; `len` is its number of tokens, and `+` adds tokens, as of a list of them.

    Attributes:
        messages: With an image part for each picture.
        images: Of `Problem.images`, in the parts' order.
        num_tokens: Of the messages, those of the pictures included.
        response: Tokens of a response that has begun.
        template: Given to the chat template, the same for all prompts of a call.
    """

    messages: Messages = field(repr=False)
    images: tuple[Any, ...]
    num_tokens: int = 0
    response: tuple[int, ...] = ()
    template: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.num_tokens + len(self.response)

    def __add__(self, token_ids: Sequence[int]) -> VisualPrompt:
        return replace(self, response=(*self.response, *token_ids))


def prepare_visual_prompts(processor: Any, problems: Sequence[Problem], style: PromptStyle) -> list[VisualPrompt]:
    """Renders problems, with or without images, and counts their tokens; every picture is opened once.

    Raises:
        DataError: A picture is broken, a text has the model's own image token, or the processor refuses the problem.
    """
    chat = processor.chat_template is not None
    prompts = []
    for problem in problems:
        messages = build_prompt(problem, style, chat=chat)
        if isinstance(messages, str):
            raise DataError("an image-text model's processor has no chat template; save one with it")
        _refuse_image_tokens(processor, problem, messages)
        prompt = VisualPrompt(
            to_parts(messages), tuple(order_images(problem)), template=dict(style.chat_template_kwargs)
        )
        try:
            length = encode_visual_prompts(processor, [prompt])["input_ids"].size(1)
        except DataError:
            raise
        except Exception as error:  # of every kind, and its chat template is a program of another's
            raise DataError(
                f"problem {problem.id!r}: the model's processor refuses it ({shorten(error, 200)})"
            ) from None
        prompts.append(replace(prompt, num_tokens=length))
    return prompts


def encode_visual_prompts(processor: Any, prompts: Sequence[VisualPrompt]) -> dict[str, Any]:
    """Inputs of the model, as tensors, left-padded; a picture that several prompts share is opened once."""
    opened = {id(image): image for prompt in prompts for image in prompt.images}
    opened = {key: open_image(image) for key, image in opened.items()}
    inputs = processor.apply_chat_template(
        [_fill(prompt.messages, [opened[id(image)] for image in prompt.images]) for prompt in prompts],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
        **prompts[0].template,
    )
    responses = [prompt.response for prompt in prompts]
    return _add_responses(dict(inputs), responses, processor.tokenizer.pad_token_id) if any(responses) else dict(inputs)


def render_visual_prompt(processor: Any, prompt: VisualPrompt) -> str:
    """The prompt as text; a picture is the template's token for it."""
    return processor.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False, **prompt.template)


def _add_responses(inputs: dict[str, Any], responses: Sequence[tuple[int, ...]], pad_id: int) -> dict[str, Any]:
    """Inputs of which each row goes on with the tokens of a response, left-padded as before."""
    width = max(map(len, responses))

    def extend(rows: Tensor, padding: int, added: Sequence[Sequence[int]]) -> Tensor:
        pieces = [
            ([padding] * (width - len(tokens)), row, list(tokens)) for row, tokens in zip(rows, added, strict=True)
        ]
        return torch.stack([torch.cat([row.new_tensor(pad), row, row.new_tensor(new)]) for pad, row, new in pieces])

    by_name = {"input_ids": (pad_id, responses), "attention_mask": (0, [[1] * len(tokens) for tokens in responses])}
    text = (0, [[0] * len(tokens) for tokens in responses])
    by_name |= {name: text for name in inputs if name.endswith("token_type_ids")}
    return inputs | {name: extend(inputs[name], *values) for name, values in by_name.items()}


def _fill(messages: Messages, images: list[Any]) -> Messages:
    """Messages whose image parts hold their pictures."""
    rest = iter(images)
    return [
        {
            **message,
            "content": [
                {**part, "image": next(rest)} if part["type"] == "image" else part for part in message["content"]
            ],
        }
        for message in messages
    ]


def _refuse_image_tokens(processor: Any, problem: Problem, messages: Messages) -> None:
    tokens = {getattr(owner, "image_token", None) for owner in (processor, processor.tokenizer)}
    texts = [part.get("text") or "" for message in to_parts(messages) for part in message["content"]]
    for token in filter(None, tokens):
        if any(token in text for text in texts):
            raise DataError(
                f"problem {problem.id!r}: its text has {token!r}, which the model reads as a picture; reword it"
            )
