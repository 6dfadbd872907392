"""Unlabelled problems: reading them from files or the hub, and rendering their prompts.

Gold answers, where a data set has them, are a mapping of their own (problem id → answer): a `Problem` has no field that
could carry one into training.
"""

from spine_rl.problems.images import check_images, open_image
from spine_rl.problems.load import load_problems
from spine_rl.problems.problem import Problem, ProblemSet
from spine_rl.problems.prompts import (
    PromptStyle,
    build_chat,
    build_prompt,
    build_text_prompts,
    check_prompt_lengths,
    encode_prompts,
    order_images,
    show_prompt,
)

__all__ = [
    "Problem",
    "ProblemSet",
    "PromptStyle",
    "build_chat",
    "build_prompt",
    "build_text_prompts",
    "check_images",
    "check_prompt_lengths",
    "encode_prompts",
    "load_problems",
    "open_image",
    "order_images",
    "show_prompt",
]
