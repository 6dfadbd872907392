"""Models from files: a .gguf that is written here, and files that are broken, each in one line."""

import json

import gguf
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import BitsAndBytesConfig

from models import save_in_hub_cache, save_qwen2
from spine_rl.engine.models import describe_loading, load_model_and_tokenizer
from spine_rl.engine.sampler import Decoding
from spine_rl.engine.transformers_sampler import TransformersSampler
from spine_rl.errors import ModelError

WIDTH, LAYERS, HEADS, INNER = 64, 2, 4, 96
SHORT = ("--num-generations=2", "--max-completion-length=6")
TOKENS = [*sorted(ByteLevel.alphabet()), "12", "<|im_end|>", "<|pad|>"]


def write_gguf(path, *, output="a copy"):
    """A Qwen2 of random weights in blocks of 8 bits, as llama.cpp writes it; `output`: the matrix of the head."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(TOKENS) - 2) + [gguf.TokenType.CONTROL] * 2)
    writer.add_token_merges(["1 2"])
    writer.add_eos_token_id(len(TOKENS) - 2)
    writer.add_pad_token_id(len(TOKENS) - 1)

    def add(name, *shape, kind=gguf.GGMLQuantizationType.Q8_0, values=None):
        values = rng.normal(0, 0.05, shape).astype(np.float32) if values is None else values
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        return values

    plain = gguf.GGMLQuantizationType.F32
    embedding = add("token_embd.weight", len(TOKENS), WIDTH, kind=gguf.GGMLQuantizationType.Q4_0)
    add("output_norm.weight", kind=plain, values=np.ones(WIDTH, np.float32))
    if output is not None:
        add("output.weight", len(TOKENS), WIDTH, values=embedding if output == "a copy" else None)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            add(f"{block}{name}.weight", kind=plain, values=np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}{name}.weight", WIDTH, WIDTH)
        for name in ("attn_q", "attn_k", "attn_v"):
            add(f"{block}{name}.bias", kind=plain, values=np.zeros(WIDTH, np.float32))
        add(f"{block}ffn_gate.weight", INNER, WIDTH)
        add(f"{block}ffn_up.weight", INNER, WIDTH)
        add(f"{block}ffn_down.weight", WIDTH, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return embedding


@pytest.mark.parametrize(("output", "tied"), [("a copy", True), ("another", False), (None, True)])
def test_a_gguf_file_is_a_model(tmp_path, output, tied):
    embedding = torch.from_numpy(write_gguf(tmp_path / "m.gguf", output=output))
    model, tokenizer = load_model_and_tokenizer(str(tmp_path / "m.gguf"))
    into, out = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (into is out) == tied == model.config.tie_word_embeddings
    error = (into - embedding).norm() / embedding.norm()
    assert error < (0.01 if output == "a copy" else 0.1)  # the finer of the two copies
    assert tokenizer.decode(tokenizer.encode("3+4=7")) == "3+4=7"
    response = TransformersSampler(model, tokenizer).generate([tokenizer.encode("3+4=")], Decoding(6))[0]
    assert len(response.token_ids) <= 6
    model.save_pretrained(tmp_path / "dense")
    tokenizer.save_pretrained(tmp_path / "dense")
    again, _ = load_model_and_tokenizer(str(tmp_path / "dense"))
    assert torch.equal(again.get_output_embeddings().weight, out)


def test_what_is_not_as_by_default_is_kept_of_how_a_model_is_loaded():
    plain = {"dtype": "float32", "revision": "main", "trust_remote_code": False, "attn_implementation": None}
    assert describe_loading(plain) == {}
    given = {"revision": "v2", "trust_remote_code": True, "attention_dropout": 0, "torch": torch.float16}
    assert describe_loading(plain | given) == {**given, "torch": "torch.float16"}
    quantised = describe_loading({"quantization_config": BitsAndBytesConfig(load_in_8bit=True)})
    assert quantised["quantization_config"]["load_in_8bit"]


def test_an_adapter_goes_on_top_of_the_revision_that_it_names(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    save_in_hub_cache(tmp_path / "hub", "org/tiny", "main", "v2")
    model, tokenizer = load_model_and_tokenizer("org/tiny", revision="v2")
    assert model.model.norm.weight[0] == 2
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], revision="v2")).save_pretrained(tmp_path / "a")
    tokenizer.save_pretrained(tmp_path / "a")
    for revision in ("main", "v2"):  # main is where none is given
        again, _ = load_model_and_tokenizer(str(tmp_path / "a"), revision=revision)
        assert again.model.norm.weight[0] == 2


def test_an_adapter_goes_on_top_of_its_gguf_file(tmp_path):
    path = str(tmp_path / "m.gguf")
    write_gguf(path)
    model, tokenizer = load_model_and_tokenizer(path)
    ids = torch.tensor([tokenizer.encode("3+4=")])
    base = model(ids).logits
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    expected = adapted(ids).logits
    adapted.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    again, _ = load_model_and_tokenizer(str(tmp_path / "adapter"))
    assert torch.allclose(again(ids).logits, expected, atol=1e-5)
    assert not torch.allclose(base, expected, atol=1e-5)


def test_an_adapter_of_no_model_or_of_another_adapter_is_one_line(tmp_path):
    model, adapter = load_model_and_tokenizer(save_qwen2(tmp_path / "base"))[0], tmp_path / "adapter"
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(adapter)
    load_model_and_tokenizer(str(adapter))  # with its base's tokenizer
    config = adapter / "adapter_config.json"
    for name, reason in [
        (None, "names no model that the adapter is for"),
        (str(tmp_path / "gone"), "which is not here"),
        (str(adapter), "an adapter too"),
        ("gone", "is for gone, neither a folder here nor a model of the hub"),
    ]:
        config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": name}))
        with pytest.raises(ModelError, match=reason) as caught:
            load_model_and_tokenizer(str(adapter))
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_gguf_file_is_trained_and_its_adapter_evaluated(tmp_path, spine):
    path, data, out = tmp_path / "m.gguf", tmp_path / "p.jsonl", tmp_path / "run"
    write_gguf(path)
    data.write_text("".join(f'{{"id": {n}, "prompt": "{n}+1=", "answer": "{n + 1}"}}\n' for n in range(2)))
    status, _, error = spine(
        "train", "--model", path, "--data", data, "--output_dir", out, "--max_steps=1", "--num_generations=4",
        "--per_device_train_batch_size=8", "--max_completion_length=6", "--use_cpu", "--report_to=none", "--use_peft",
    )  # fmt: skip
    assert status == 0, error
    status, _, error = spine(
        "train", "--model", path, "--data", data, "--output_dir", tmp_path / "b", "--beta=0.1", "--num_generations=4",
        "--per_device_train_batch_size=8", "--use_cpu", "--max_completion_length=6",
    )  # fmt: skip
    assert status == 2
    assert "cannot be from a .gguf file; give use_peft" in error
    for model in (path, out):
        status, printed, error = spine("eval", "--model", model, "--data", data, *SHORT)
        assert status == 0, error
        assert "mean@2" in printed


def break_file(folder, name, content):
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda f: break_file(f, "model.safetensors", b""), "cannot be loaded"),
        (lambda f: break_file(f, "model.safetensors", b"\x00" * 500), "cannot be loaded"),
        (lambda f: break_file(f, "config.json", b"{"), "cannot be loaded"),
        (lambda f: break_file(f, "config.json", b'{"model_type": "qwen2", "hidden_size": "x"}'), "cannot be loaded"),
        (lambda f: break_file(f, "tokenizer.json", b"[]"), "cannot be loaded"),
        (lambda f: (f / "config.json").unlink(), "no model folder"),
        (lambda f: break_file(f, "chat_template.jinja", b"{% if %}"), "its chat template cannot be used"),
        (lambda f: break_file(f, "chat_template.jinja", b"{{ 1 / 0 }}"), "its chat template cannot be used"),
        (lambda f: break_file(f, "chat_template.jinja", b""), "its chat template leaves the prompt out"),
        (lambda f: [path.unlink() for path in f.glob("tokenizer*")], "its tokenizer knows no text"),
    ],
)  # fmt: skip
def test_broken_files_are_one_line(tmp_path, harm, reason):
    folder = tmp_path / "model"
    save_qwen2(folder)
    harm(folder)
    with pytest.raises(ModelError, match=reason) as caught:
        load_model_and_tokenizer(str(folder))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(folder))


def test_a_folder_that_is_not_there_is_no_puzzle_of_the_hub():
    with pytest.raises(ModelError, match=r"^runs/frist: neither a folder here nor a model of the hub that can be"):
        load_model_and_tokenizer("runs/frist")


def test_what_would_fail_later_is_said_at_once(tmp_path):
    folder = save_qwen2(tmp_path / "model")
    weights = load_file(f"{folder}/model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][3, 3] = torch.nan
    save_file(weights, f"{folder}/model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"layers.0.mlp.up_proj.weight has values that are not finite"):
        load_model_and_tokenizer(folder)


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"])
def test_weights_that_no_file_has_are_not_made_up(tmp_path, name):
    folder = save_qwen2(tmp_path / "model")
    weights = load_file(f"{folder}/model.safetensors")
    del weights[name]
    save_file(weights, f"{folder}/model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=rf"weights are not in its files, such as {name}"):
        load_model_and_tokenizer(folder)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "no such file"), (b"PK\x03", "no GGUF file"), (b"GGUF", "cannot")]
)
def test_a_file_that_is_no_gguf_is_one_line(tmp_path, content, reason):
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        load_model_and_tokenizer(str(path))
