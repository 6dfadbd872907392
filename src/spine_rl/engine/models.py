"""Loading a model and its tokenizer or processor from a folder or the hub; failures in one line."""

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from spine_rl.engine.gguf import is_gguf, load_gguf
from spine_rl.engine.model_folder import ADAPTER_FILE, find_base, list_configs, read_config
from spine_rl.engine.progress import phase
from spine_rl.errors import ModelError, SpineError, shorten

_PLAIN_TYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def describe_loading(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of a model's load options is not as by default, as a file keeps it; the type stands elsewhere."""
    usual = {"dtype": options.get("dtype"), "revision": "main", "trust_remote_code": False}
    told = {name: value for name, value in options.items() if value is not None and value != usual.get(name)}
    return json.loads(json.dumps(told, default=lambda each: each.to_dict() if hasattr(each, "to_dict") else str(each)))


def load_model_and_tokenizer(
    name_or_path: str,
    *,
    revision: str = "main",
    trust_remote_code: bool = False,
    trains_adapter: bool = False,
    **model_options: Any,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | ProcessorMixin]:
    """Loads a language model (an adapter's folder too) and its tokenizer, or an image-text model and its processor.

    Args:
        name_or_path: A local folder, a `.gguf` file, or a hub id.
        revision: Of a hub repository; of an adapter's folder, its base's, by default the one that the adapter names.
        trust_remote_code: Whether code that comes with the model may run.
        trains_adapter: An adapter is loaded as PEFT's model, to be trained on; else its weights are fixed.
        model_options: Passed on to `from_pretrained`, e.g. `dtype`.

    Raises:
        ModelError: It is not a model, or cannot be loaded.
    """
    folder = Path(name_or_path)
    list_configs(name_or_path)  # a folder of no model ends here
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    with phase(f"load {folder.name}"):
        try:
            model, processor = _load(name_or_path, options, model_options, trains_adapter=trains_adapter)
        except SpineError:
            raise
        except Exception as error:  # files are others': whatever is wrong with one, each library says in its own way
            reason = shorten(error)
            if not folder.exists():  # a folder's name with a slip in it looks like a hub id
                raise ModelError(
                    f"{name_or_path}: neither a folder here nor a model of the hub that can be loaded ({reason})"
                ) from error
            raise ModelError(f"{name_or_path}: cannot be loaded as a language model: {reason}") from error
        _check(name_or_path, model, get_tokenizer(processor))
        _check_prompts(name_or_path, processor)
    return model, processor


def _load(
    name_or_path: str, options: dict[str, Any], model_options: dict[str, Any], *, trains_adapter: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | ProcessorMixin]:
    if is_gguf(name_or_path):
        return load_gguf(name_or_path, **model_options)
    base = find_base(name_or_path)
    if base is not None:
        model, processor = _load_base(name_or_path, base, options, model_options)
        return _adapt(model, name_or_path, trains=trains_adapter), processor
    sees = type(AutoConfig.from_pretrained(name_or_path, **options)) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    model_class, processor_class = (
        (AutoModelForImageTextToText, AutoProcessor) if sees else (AutoModelForCausalLM, AutoTokenizer)
    )
    processor = processor_class.from_pretrained(name_or_path, padding_side="left", **options)
    if sees and not isinstance(processor, ProcessorMixin):
        raise ModelError(f"{name_or_path}: its processor is missing, there is only a tokenizer; save the processor too")
    loaded: Any = model_class.from_pretrained(name_or_path, output_loading_info=True, **options, **model_options)
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{name_or_path}: {len(missing)} of its weights are not in its files, such as {missing[0]}, and would be "
            "random: it is no language model, or was not saved whole"
        )
    return model, processor


def _load_base(
    adapter: str, base: str, options: dict[str, Any], model_options: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | ProcessorMixin]:
    """An adapter's base; with the adapter's tokenizer or processor, where it has one."""
    revision = read_config(Path(adapter) / ADAPTER_FILE).get("revision")
    if options["revision"] == "main" and revision is not None:
        options = {**options, "revision": revision}
    try:
        model, processor = _load(base, options, model_options)
    except Exception as error:
        if Path(base).exists():
            raise
        raise ModelError(
            f"{adapter}: the adapter is for {base}, neither a folder here nor a model of the hub that can be loaded "
            f"({shorten(error, 120)}); mend base_model_name_or_path in its {ADAPTER_FILE}"
        ) from error
    if (Path(adapter) / "tokenizer_config.json").is_file():
        processor_class = AutoProcessor if isinstance(processor, ProcessorMixin) else AutoTokenizer
        processor = processor_class.from_pretrained(adapter, padding_side="left", **options)
    return model, processor


def _adapt(model: PreTrainedModel, adapter: str, *, trains: bool) -> Any:
    if trains:
        return PeftModel.from_pretrained(model, adapter, is_trainable=True)
    model.load_adapter(adapter)
    return model


def _check(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """What loads and would fail later, or give nonsense."""
    ends = model.generation_config.eos_token_id if model.generation_config is not None else None
    if ends is None and tokenizer.eos_token_id is None:
        raise ModelError(f"{name}: neither model nor tokenizer has an end token (eos), so that no response would end")
    rows = cast(Any, model.get_input_embeddings()).num_embeddings
    if tokenizer.vocab_size > rows:
        raise ModelError(
            f"{name}: its tokenizer has {tokenizer.vocab_size:,} tokens, its embedding {rows:,}: it is another model's"
        )
    for weight_name, weight in model.named_parameters():
        if weight.dtype in _PLAIN_TYPES and not weight.isfinite().all():
            raise ModelError(f"{name}: {weight_name} has values that are not finite; the file or its run was damaged")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def _check_prompts(name: str, processor: PreTrainedTokenizerBase | ProcessorMixin) -> None:
    """A tokenizer without its files is an empty one; a chat template is a program of another's, which may fail."""
    text = "What is 1+1?"
    if not get_tokenizer(processor)(text)["input_ids"]:
        raise ModelError(f"{name}: its tokenizer knows no text; save the tokenizer's files with the model")
    if processor.chat_template is None:
        return
    content: Any = [{"type": "text", "text": text}] if isinstance(processor, ProcessorMixin) else text
    try:
        rendered = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    except Exception as error:
        raise ModelError(f"{name}: its chat template cannot be used ({shorten(error)}); mend or remove it") from error
    if text not in str(rendered):
        raise ModelError(f"{name}: its chat template leaves the prompt out; mend or remove it")


def get_tokenizer(processing_class: Any) -> PreTrainedTokenizerBase:
    """The tokenizer itself, or a processor's."""
    return processing_class.tokenizer if isinstance(processing_class, ProcessorMixin) else processing_class


def get_device() -> torch.device:
    """The accelerator, where there is one."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def move_to_accelerator(model: Any) -> Any:
    """Moves a model to the GPU, where there is one."""
    return model if get_device().type == "cpu" else model.to(get_device())


def learns_prompt(model: Any) -> bool:
    """Whether an adapter puts learned tokens before the prompt."""
    return isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning


@contextmanager
def eval_mode(model: Any) -> Iterator[None]:
    """Within the block there is no dropout; after it the model is in the mode that it was in, whatever happened."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def keep_logits(model: Any, positions: int) -> dict[str, int]:
    """For a call of a model: logits of so many last positions, and none of the prompt, where it can be told."""
    return {"logits_to_keep": positions} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}


def get_vision_tower(model: Any) -> Any:
    """The part of an image-text model that reads pictures, without what joins it to the language model; else None."""
    tower = model.get_encoder(modality="image")
    return None if tower is model or tower is model.base_model else tower


def get_hidden_size(model: Any) -> int:
    """The width of a model's text part."""
    return model.config.get_text_config().hidden_size


def get_context_length(model: PreTrainedModel) -> int | None:
    """The longest sequence the model's configuration allows, in tokens, where it states one."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)
