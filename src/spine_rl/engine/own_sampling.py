"""Sampling is what this package's options say: nothing of a model's own `generation_config` but which tokens end.

Models come with defaults of their own (a repetition penalty, a top-k, tokens to suppress), and `generate` fills in from
them whatever a call leaves open. Responses drawn so are not the policy's whose log-probabilities an update needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig

_TOKENS = ("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id")


@contextmanager
def sampling_as_asked(model: Any) -> Iterator[None]:
    """Within the block, `generate` of a transformers model knows the special tokens of its configuration alone.

    Afterwards the model has its configuration back, so that it is saved with it.
    """
    own = model.generation_config
    model.generation_config = GenerationConfig(**{name: getattr(own, name, None) for name in _TOKENS})
    try:
        yield
    finally:
        model.generation_config = own
