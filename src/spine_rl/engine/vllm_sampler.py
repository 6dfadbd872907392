"""vLLM's offline engine, where it is installed (`pip install 'spine-rl[vllm]'`).

Each response has a seed of its own, so it does not depend on what else is in the batch, up to the arithmetic of the
kernels. vLLM gives its memory back late: evaluate a baseline by a command of its own, and compare with its folder.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from spine_rl.engine.model_folder import ADAPTER_FILE
from spine_rl.engine.sampler import (
    Decoding,
    Prompt,
    SampledResponse,
    cut_response,
    derive_seed,
    list_end_tokens,
    list_given_ends,
)
from spine_rl.errors import ConfigError, ModelError, shorten


class VllmSampler:
    """A model that vLLM loads; entropies are out of its reach (it keeps few log-probabilities)."""

    def __init__(self, model: str, dtype: str = "auto", *, revision: str = "main", trust_remote_code: bool = False):
        try:
            self._vllm: Any = import_module("vllm")
        except ImportError:
            raise ConfigError(
                "engine='vllm' needs vLLM; pip install 'spine-rl[vllm]', or take --engine transformers or continuous"
            ) from None
        if (Path(model) / ADAPTER_FILE).is_file():
            raise ConfigError(f"{model} is an adapter, which this engine does not load; take --engine transformers")
        try:
            origin: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
            self.tokenizer = AutoTokenizer.from_pretrained(model, **origin)
            config = AutoConfig.from_pretrained(model, **origin)
            self._ends = list_end_tokens(_read_generation_config(model, revision), self.tokenizer)
            told = {} if revision == "main" else {"revision": revision, "tokenizer_revision": revision}
            told |= {"trust_remote_code": trust_remote_code, **list_engine_options(), **_list_own()}
            self._llm: Any = self._vllm.LLM(model=model, dtype=dtype, **told)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"{model}: vLLM cannot load it: {shorten(error)}") from None
        self.processor = None  # text only so far
        self.context = getattr(config.get_text_config(), "max_position_embeddings", None)

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[SampledResponse]:
        ends = [*dict.fromkeys((*self._ends, *list_given_ends(decoding.more)))]
        outputs = self._llm.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],
            [
                self._vllm.SamplingParams(
                    temperature=decoding.temperature,
                    top_p=decoding.top_p,
                    max_tokens=decoding.max_new_tokens,
                    stop_token_ids=ends,
                    seed=derive_seed(decoding.seed, row),
                )
                for row in range(len(prompts))
            ],
            use_tqdm=False,
        )
        return [cut_response(list(output.outputs[0].token_ids), ends, self.tokenizer) for output in outputs]


def list_engine_options() -> dict[str, Any]:
    """How any engine of vLLM's is started.

    Without the sampling defaults of the model's own `generation_config`, and on a CPU without compiling the model,
    which takes minutes there.
    """
    options: dict[str, Any] = {"generation_config": "vllm"}
    return options if torch.accelerator.is_available() else {**options, "enforce_eager": True}


def _list_own() -> dict[str, Any]:
    """On a CPU prompts run whole: after a part of one vLLM turns back the random numbers of a row that has a seed, and
    torch's generators cannot there ("CPU Generator does not use offset").
    """
    return {} if torch.accelerator.is_available() else {"enable_chunked_prefill": False}


def _read_generation_config(model: str, revision: str) -> GenerationConfig:
    """Of a folder or the hub; a model need not have one."""
    try:
        return GenerationConfig.from_pretrained(model, revision=revision)
    except OSError:
        return GenerationConfig()
