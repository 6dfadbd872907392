"""A model in one `.gguf` file, dequantised, so that it can be trained as any other (`pip install 'spine-rl[gguf]'`)."""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    modeling_gguf_pytorch_utils,
)

from spine_rl.engine.progress import tell
from spine_rl.errors import ModelError

_SAME = 0.2  # relative distance below which two matrices are one, quantised twice; unrelated ones are at about 1.4


def is_gguf(name_or_path: str) -> bool:
    return name_or_path.lower().endswith(".gguf")


def load_gguf(path: str, **model_options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a text model and its tokenizer from a file; weights are dense, in `dtype`.

    Many files hold the output matrix apart where the original ties it to the input's, each quantised by itself. The two
    are told by their distance, and tied again to the output's, which quantisers keep finer.

    Args:
        path: The file's.
        model_options: Passed on to `from_pretrained`.

    Raises:
        ModelError: There is no such file, or the package that reads it is missing.
    """
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"{path}: no such file; give the path of a .gguf file, a model folder or a hub id")
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"{path}: reading it needs the package gguf; pip install 'spine-rl[gguf]'")
    if _read_mark(file) != b"GGUF":
        raise ModelError(f"{path}: no GGUF file, it does not begin with its mark; download it again")
    folder, name = str(file.parent), file.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, padding_side="left")
    config_class: Any = getattr(transformers, "GgufConfig", None)  # before it, dequantised is what there was
    if config_class is not None:
        model_options["quantization_config"] = config_class(dequantize=True)
    dtype = model_options.pop("dtype", None)
    dtype = torch.float32 if dtype in (None, "auto") else dtype  # the file's own is its quantisation's
    with _telling():
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype, **model_options)
    _make_plain(model, path)
    return model, tokenizer


@contextmanager
def _telling() -> Iterator[None]:
    """transformers' bar over the tensors is ours."""

    def follow(tensors: Sequence[Any], **_: Any) -> Iterator[Any]:
        for number, tensor in enumerate(tensors):
            tell("dequantise", number, len(tensors), "tensors")
            yield tensor
        tell("dequantise", 1, 1)

    before, modeling_gguf_pytorch_utils.tqdm = modeling_gguf_pytorch_utils.tqdm, follow
    try:
        yield
    finally:
        modeling_gguf_pytorch_utils.tqdm = before


def _read_mark(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(4)


def _make_plain(model: Any, path: str) -> None:
    """As if it had never been quantised; an adapter that is saved names the file as its base."""
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.name_or_path = model.config._name_or_path = path
    into, out = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if into is out or into.shape != out.shape:
        return
    with torch.no_grad():
        distance = (into - out).float().norm() / out.float().norm()
        if distance < _SAME:
            into.copy_(out)
            model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = True
            model.tie_weights()
