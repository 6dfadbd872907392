"""What a GPU has of its own: kernels, autocast, device placement, free memory. Skipped where there is none."""

import dataclasses
import json
import math
import warnings

import pytest
import torch
from test_images import NO_TORCHVISION, train, write_mixed
from test_sharing import make_batch, plain_scores, repeat_inputs, shared_scores
from test_trainer import make_trainer, pretend_answers
from torch.utils._pytree import tree_map
from trl.trainer.utils import add_fused_lm_head

from models import ARCHITECTURES, QWEN, build_architecture, save_image_text_model, save_qwen2
from random_updates import OBJECTIVES, draw_batch, run_update
from spine_rl.engine import decode, graph_decode
from spine_rl.engine.continuous_sampler import ContinuousSampler
from spine_rl.engine.forward import add_shared_forward, score_in_pieces
from spine_rl.engine.generation import Generator
from spine_rl.engine.sampler import Decoding
from spine_rl.engine.shared_batch import Piece, SharedBatch
from spine_rl.engine.transformers_sampler import TransformersSampler
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.problems import encode_prompts

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
ON_GPU = {"use_cpu": False, "bf16": True}
UNSHARED = "prompts are run once per response"


def to_gpu(batch):
    return tree_map(lambda value: value.cuda() if isinstance(value, torch.Tensor) else value, batch)


def measure_errors(model, batch, weights, autocast, ways):
    """How far each way's gradient is from the plain one in 32 bits, relative to its size."""

    def gradient(scores, enabled):
        model.zero_grad()
        with torch.autocast(batch[0].device.type, torch.bfloat16, enabled=enabled):
            logps, entropies = scores(model, *batch)
        (logps * weights[0] + entropies * weights[1]).sum().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    exact = gradient(plain_scores, False)
    assert exact.norm() > 0
    return [(gradient(way, autocast) - exact).norm() / exact.norm() for way in ways]


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shared_gradients_are_as_exact_as_the_plain_forwards(monkeypatch, architecture, autocast):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # torch's default for the patches' convolution
    model, image_token = build_architecture(architecture)
    batch = to_gpu(make_batch(model.config, image_token))
    model.cuda()
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    add_shared_forward(model, temperature=0.7)
    torch.manual_seed(0)
    weights = torch.randn(2, *batch[3].shape).cuda() * batch[3] * (torch.rand(batch[3].shape).cuda() < 0.2)

    plain, shared = measure_errors(model, batch, weights, autocast, (plain_scores, shared_scores))
    assert shared <= 1.5 * plain + 1e-5


def packed_scores(model, prompts, prompt_mask, completions, completion_mask, group, _):
    everything = torch.ones_like(group, dtype=torch.bool)
    batch = SharedBatch(prompts, prompt_mask, completions, completion_mask, group, everything, packed=True)
    output = model(shared_batch=batch)
    return output["log_probs"], output["entropy"]


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["qwen3", "gemma3", "mistral"])
def test_packed_gradients_are_as_exact_as_the_plain_forwards(architecture, autocast, checkpointing):
    model, _ = build_architecture(architecture)
    batch = to_gpu(make_batch(model.config))
    model.cuda().train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    add_shared_forward(model, temperature=0.7)
    torch.manual_seed(0)
    weights = torch.randn(2, *batch[3].shape).cuda() * batch[3]

    plain, packed = measure_errors(model, batch, weights, autocast, (plain_scores, packed_scores))
    assert packed <= 1.5 * plain + 1e-5


@pytest.mark.parametrize("way", ["packed", "two-calls"])
def test_200_random_shapes_have_finite_gradients_in_16_bits_close_to_those_in_32(way):
    model, _ = build_architecture("qwen3")
    model.cuda()
    add_shared_forward(model, temperature=0.7)
    for seed in range(200):
        drawn, advantages = draw_batch(seed)
        fields = to_gpu({field.name: getattr(drawn, field.name) for field in dataclasses.fields(drawn)})
        batch = SharedBatch(**fields | {"packed": way == "packed"})
        weights = torch.randn(2, *batch.completion_mask.shape).cuda() * batch.completion_mask

        def pieces(batch=batch):
            if way == "two-calls":
                return score_in_pieces(model, batch, temperature=0.7)
            output = model(shared_batch=batch)
            return [Piece(torch.arange(len(batch.group_index)).cuda(), output["log_probs"], output["entropy"])]

        results = []
        for enabled in (False, True):
            with torch.autocast("cuda", torch.bfloat16, enabled=enabled):
                results.append(
                    run_update(model, pieces, batch.completion_mask, advantages.cuda(), OBJECTIVES[seed % 2], weights)
                )
        (_, exact), (objective, rounded) = results
        assert objective.isfinite().all(), seed
        assert (rounded - exact).norm() <= 0.05 * exact.norm() + 1e-6, seed


@pytest.fixture
def captured(monkeypatch):
    """How often a step was captured; a step that cannot be is an error."""
    count, capture = [], graph_decode.run_and_capture
    monkeypatch.setattr(graph_decode, "run_and_capture", lambda *given: count.append(1) or capture(*given))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="generation")
        yield count


@pytest.mark.parametrize("architecture", ["qwen3", "llama", "gemma3", "mistral", "llava", "gemma3-vision", QWEN])
def test_greedy_generation_in_graphs_equals_transformers_own(architecture, captured):
    model, image_token = build_architecture(architecture)
    prompts, mask, _, _, group, further = make_batch(model.config, image_token)
    arguments = to_gpu({"input_ids": prompts[group], "attention_mask": mask[group], **repeat_inputs(further, group)})
    options = {"max_new_tokens": 40, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    model.cuda()
    expected = model.generate(**arguments, **options)
    assert torch.equal(Generator(model, "model")(**arguments, **options), expected)
    assert len(captured) == 1


@pytest.mark.parametrize("options", [{}, {"top_k": 20}, {"top_p": 0.8}, {"min_p": 0.1, "suppress_tokens": [7, 8]}])
def test_samples_in_graphs_are_those_of_the_loop_as_rows_leave(monkeypatch, captured, options):
    model, _ = build_architecture("qwen3")
    model.cuda()
    rows = torch.randint(10, 250, (4, 9), generator=torch.Generator().manual_seed(0)).repeat_interleave(16, 0).cuda()
    options = {"max_new_tokens": 100, "do_sample": True, "top_k": 0, "pad_token_id": 0, **options}
    options |= {"attention_mask": torch.ones_like(rows), "eos_token_id": [*range(30, 36)]}
    results = []
    for graphs in (True, False):
        if not graphs:
            monkeypatch.setattr(decode, "is_static", lambda *_: False)
        generator = Generator(model, "model")
        torch.manual_seed(5)
        results.append((generator(rows, **options), generator.logps))
    assert len(captured) > 1  # anew as half had left
    width = min(tokens.size(1) for tokens, _ in results)
    same = (results[0][0][:, :width] == results[1][0][:, :width]).all(1)
    assert same.float().mean() > 0.9  # rounding may turn a draw


@pytest.mark.parametrize("dtype", ["model", "bfloat16"])
def test_frequencies_in_graphs_are_the_probabilities(captured, dtype):
    model, _ = build_architecture("qwen2")
    model.cuda()
    rows = torch.full((50_000, 3), 11).cuda()
    options = {"do_sample": True, "top_k": 0, "temperature": 0.7, "pad_token_id": 0, "eos_token_id": None}
    generator = Generator(model, dtype)
    tokens = generator(rows, attention_mask=torch.ones_like(rows), max_new_tokens=2, **options)
    assert generator.copies == (dtype == "bfloat16")
    with torch.no_grad():
        first = (model(rows[:1]).logits[0, -1] / 0.7).softmax(-1)
        starts = torch.cat([rows[:1].expand(256, -1), torch.arange(256).cuda()[:, None]], 1)
        second = first @ (model(starts).logits[:, -1] / 0.7).softmax(-1)
    for column, expected in ((3, first), (4, second)):
        found = torch.bincount(tokens[:, column], minlength=256) / len(rows)
        noise = (expected * (1 - expected) / len(rows)).sqrt()
        assert ((found - expected).abs() <= 6 * noise + (1e-4 if dtype == "model" else 1e-3)).all()


def test_a_wave_is_as_large_as_memory_allows(monkeypatch, captured):
    model, _ = build_architecture("qwen3")
    model.cuda()
    rows = torch.full((64, 9), 11).cuda()
    options = {"max_new_tokens": 20, "do_sample": True, "top_k": 0, "pad_token_id": 0, "eos_token_id": None}
    options["attention_mask"] = torch.ones_like(rows)
    torch.manual_seed(0)
    expected = Generator(model, "model")(rows, **options)
    free = torch.cuda.mem_get_info
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (300_000, free(device)[1]))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device=None: 0)
    torch.manual_seed(0)
    found = Generator(model, "model")(rows, **options)
    assert len(captured) > 2
    assert (found == expected).all(1).float().mean() > 0.9


def test_a_step_that_waits_is_repeated_as_it_is_and_leaves_torch_whole():
    stream = torch.cuda.current_stream()
    with pytest.warns(UserWarning, match="without a CUDA graph: called a synchronizing CUDA operation"):
        step = graph_decode.run_and_capture(lambda: torch.ones(1).cuda().item(), torch.device("cuda"))
    step()
    assert torch.cuda.current_stream() == stream
    torch.cuda.empty_cache()  # after a capture that failed, an internal error of torch's


@pytest.mark.parametrize("preset", ["ttrl", "spine", "spine-v2", "entropy-min"])
def test_a_run_in_bf16_shares_moves_the_weights_and_measures_memory(tmp_path, monkeypatch, preset):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, preset=preset, max_steps=3, **ON_GPU)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=UNSHARED)
        trainer.train()
    moved = [name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])]
    assert moved
    assert all(p.is_cuda for p in trainer.model.parameters())
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert len(rows) == 3
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert rows[-1]["memory/peak_gib"] > 0


def test_a_language_model_is_trained_resumed_evaluated_and_looked_at(spine, tmp_path):
    model, data, out = save_qwen2(tmp_path / "model"), tmp_path / "data.jsonl", tmp_path / "run"
    rows = [{"id": f"q{i}", "prompt": f"What is {i}+{i}?", "answer": str(2 * i)} for i in range(4)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--num_generations=2", "--per_device_train_batch_size=4", "--max_completion_length=6", "--save_steps=1")
    run = ("train", f"--model={model}", f"--data={data}", f"--output_dir={out}", "--report_to=none", *options)
    new = ("--data", data, "--max-completion-length", 8)
    for command in (
        (*run, "--max_steps=2"),
        (*run, "--max_steps=3", "--resume"),
        ("eval", "--model", out, *new, "--num-generations", 2, "--out", tmp_path / "eval"),
        ("preflight", "--model", out, *new, "--num-generations", 2),
        ("inspect", "--model", out, *new, "--num-generations", 2, "--out", tmp_path / "inspect.html"),
        ("report", out, "--out", tmp_path / "report.html"),
    ):
        status, _, error = spine(*command)
        assert status == 0, error
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 3


@pytest.mark.parametrize("architecture", ["llava", pytest.param(QWEN, marks=NO_TORCHVISION)])
def test_an_image_text_model_is_trained_and_evaluated(spine, tmp_path, recwarn, architecture):
    model, data, out = save_image_text_model(architecture, tmp_path / "model"), write_mixed(tmp_path), tmp_path / "run"
    status, _, error = train(spine, model, data, out, use_cpu=False)
    assert status == 0, error
    assert not [warning for warning in recwarn if UNSHARED in str(warning.message)]
    status, _, error = spine(
        "eval", "--model", out, "--data", data, "--num-generations", 2, "--max-completion-length", 4,
        "--out", tmp_path / "eval",
        "--answer-type", "text",
    )  # fmt: skip
    assert status == 0, error


def test_engines_agree_repeat_themselves_and_leave_the_random_state():
    model, tokenizer = ARITHMETIC.load_base()
    chats = [[{"role": "user", "content": p.prompt}] for p in ARITHMETIC.make_problems("adapt", 6).problems]
    prompts = encode_prompts(tokenizer, chats)
    model.cuda()
    state = torch.cuda.get_rng_state()
    responses = {}
    for engine in (TransformersSampler(model, tokenizer), ContinuousSampler(model, tokenizer)):
        greedy = engine.generate(prompts, Decoding(100, temperature=0.0, batch_size=3))
        sampled = [engine.generate(prompts, Decoding(100, seed=seed, batch_size=6)) for seed in (1, 1, 2)]
        assert sampled[0] == sampled[1] != sampled[2]
        responses[type(engine)] = greedy
    assert responses[TransformersSampler] == responses[ContinuousSampler]
    assert torch.equal(torch.cuda.get_rng_state(), state)
