"""The GPU's loop, its steps run as they are: what a CUDA graph repeats is the model's own generation."""

import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from test_sharing import P, make_batch, repeat_inputs
from torch.utils._python_dispatch import TorchDispatchMode

from models import ARCHITECTURES, build_architecture
from spine_rl.engine import decode, draw, graph_decode
from spine_rl.engine.generation import Generator


@pytest.fixture(autouse=True)
def static(monkeypatch):
    """Everything goes the GPU's way, and looks often."""
    steps = []
    monkeypatch.setattr(decode, "is_static", lambda *_: True)
    monkeypatch.setattr(graph_decode, "_LOOK_EVERY", 2)
    run = graph_decode.run_and_capture
    monkeypatch.setattr(graph_decode, "run_and_capture", lambda *given: steps.append(given) or run(*given))
    return steps


def make_arguments(architecture):
    model, image_token = build_architecture(architecture)
    prompts, mask, _, _, group, further = make_batch(model.config, image_token)
    return model, {
        "input_ids": prompts[group],
        "attention_mask": mask[group],
        "pad_token_id": 0,
        "max_new_tokens": 12,
        **repeat_inputs(further, group),
    }


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "mistral"])
def test_greedy_equals_transformers_own(architecture):
    model, arguments = make_arguments(architecture)
    arguments["do_sample"] = False
    free = model.generate(**arguments, eos_token_id=None)[:, P:]
    ends = [int(free[0, 2]), int(free[4, 5])]  # two prompts' responses end early, which is more than half
    for eos in (None, ends):
        expected = model.generate(**arguments, eos_token_id=eos)
        assert torch.equal(Generator(model, "model")(**arguments, eos_token_id=eos), expected)


@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1, "suppress_tokens": [7, 8]}])
def test_samples_are_those_of_the_growing_loop_in_waves_of_any_size(monkeypatch, static, options):
    model, arguments = make_arguments("qwen3")
    arguments |= {"do_sample": True, "top_k": 0, "temperature": 0.9, "eos_token_id": [*range(30, 90)], **options}
    results = []
    for is_static, size in ((False, 0), (True, 8), (True, 3), (True, 1)):
        monkeypatch.setattr(decode, "is_static", lambda *_, is_static=is_static: is_static)
        monkeypatch.setattr(graph_decode, "pick_wave_size", lambda *_, size=size: size)
        generator = Generator(model, "model")
        generator.with_entropies = True
        torch.manual_seed(5)
        results.append((generator(**arguments), torch.stack([generator.logps, generator.entropies], -1)))
        if size == 8:
            assert len(static) > 1  # captured anew for those that were left
    for tokens, logps in results[1:]:
        assert torch.equal(tokens, results[0][0])
        torch.testing.assert_close(logps, results[0][1], rtol=1e-4, atol=1e-5)


def test_a_wave_that_is_too_large_is_halved_and_run_again(monkeypatch):
    model, arguments = make_arguments("qwen2")
    arguments |= {"do_sample": True, "top_k": 0, "eos_token_id": None}
    torch.manual_seed(5)
    expected = Generator(model, "model")(**arguments)
    tried, run = [], graph_decode._Wave.run

    def run_out_of_memory(wave, *given):
        tried.append(len(wave._rows))
        if len(wave._rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(wave, *given)

    monkeypatch.setattr(graph_decode._Wave, "run", run_out_of_memory)
    torch.manual_seed(5)
    assert torch.equal(Generator(model, "model")(**arguments), expected)
    assert tried == [8, 4, 2, 2, 2, 2]


def test_a_single_response_that_does_not_fit_is_told(monkeypatch):
    model, arguments = make_arguments("qwen2")
    monkeypatch.setattr(graph_decode, "pick_wave_size", lambda *_: 7)  # the last wave has one row
    run = graph_decode._Wave.run

    def run_out_of_memory(wave, *given):
        if 7 in wave._rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(wave, *given)

    monkeypatch.setattr(graph_decode._Wave, "run", run_out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        Generator(model, "model")(**arguments, do_sample=True, top_k=0, eos_token_id=None)


def test_what_asks_for_python_takes_the_growing_loop(monkeypatch):
    monkeypatch.undo()
    model, arguments = make_arguments("qwen2")
    asked, is_static = [], graph_decode.is_static
    cuda = type("OnGpu", (), {"device": torch.device("cuda"), "config": model.config})()
    monkeypatch.setattr(decode, "is_static", lambda _, *given: bool(asked.append(is_static(cuda, *given))))
    for options in (
        {},
        {"top_k": 4, "top_p": 0.9, "min_p": 0.1, "temperature": 0.7, "suppress_tokens": [3]},
        {"repetition_penalty": 1.2},
        {"no_repeat_ngram_size": 2},
        {"max_time": 100.0},
    ):
        generator = Generator(model, "model")
        generator(**{**arguments, "do_sample": True, "top_k": 0, "eos_token_id": [2], **options})
    assert asked == [True, True, False, False, False]
    assert not is_static(model, None, [])  # on a CPU
    model.set_attn_implementation("eager")
    Generator(model, "model")(**{**arguments, "do_sample": True, "top_k": 0, "eos_token_id": [2]})
    assert not asked[-1]  # it adds masks, and these are true or false


class _AskNothing(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU: no graph can have it."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.partition(".")[0]
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "equal"), name
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("architecture", ["qwen3", "gemma3-vision", "qwen2.5-vl"])
def test_a_step_asks_nothing_of_the_gpu(monkeypatch, architecture):
    model, arguments = make_arguments(architecture)
    run, steps = graph_decode._Wave.step, []

    def step(wave):
        with _AskNothing():
            run(wave)
        steps.append(wave)

    monkeypatch.setattr(graph_decode._Wave, "step", step)
    monkeypatch.setattr(draw, "_find_nucleus_fast", lambda exact: exact)  # a CPU's
    options = {"top_k": 20, "top_p": 0.9, "min_p": 0.01, "suppress_tokens": [7], "eos_token_id": [2, 3]}
    generator = Generator(model, "model")
    generator.with_entropies = True
    generator(**arguments | options, do_sample=True)
    assert steps


class _Gpu:
    """As much of `torch.cuda` as a capture takes; one that fails leaves its own stream, as torch's does."""

    def __init__(self, monkeypatch, fails=False):
        self.now, self.mode, self.captures, self.fails = "main", 0, 0, fails
        for name in ("stream", "graph", "set_sync_debug_mode"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        stream = SimpleNamespace(wait_stream=lambda _: None)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
        monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: self.mode)
        monkeypatch.setattr(torch.cuda, "Stream", lambda _: stream)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay="replay"))

    @contextmanager
    def stream(self, stream):
        before, self.now = self.now, stream
        try:
            yield
        finally:
            self.now = before

    @contextmanager
    def graph(self, graph):
        self.captures, self.now, before = self.captures + 1, "capture", self.now
        yield
        if self.fails:
            raise RuntimeError("operation failed due to a previous error during capture")
        self.now = before

    def set_sync_debug_mode(self, mode):
        self.mode = mode


def test_a_capture_leaves_the_stream_as_it_was_and_one_that_must_fail_is_not_tried(monkeypatch):
    device, runs = torch.device("cuda"), []
    gpu = _Gpu(monkeypatch)
    assert graph_decode.run_and_capture(lambda: runs.append(gpu.now), device) == "replay"
    assert (len(runs), gpu.now, gpu.mode) == (2, "main", 0)

    gpu.fails = True
    with pytest.warns(UserWarning, match="without a CUDA graph: operation failed"):
        assert graph_decode.run_and_capture(step := lambda: None, device) is step
    assert gpu.now == "main"

    def waits():
        assert gpu.mode == "warn"
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)

    gpu.captures = 0
    with pytest.warns(UserWarning, match="without a CUDA graph: called a synchronizing"):
        assert graph_decode.run_and_capture(waits, device) is waits
    assert (gpu.captures, gpu.now, gpu.mode) == (0, "main", 0)
