"""The update in pieces: what memory decides changes no gradient, running out of it costs a step's time alone."""

import warnings
import weakref
from types import SimpleNamespace

import psutil
import pytest
import torch
from test_trainer import assert_close, gradients, make_trainer, pretend_answers, scored_batch
from torch import nn

from models import build_architecture, build_qwen2
from random_updates import OBJECTIVES, draw_batch, run_update
from spine_rl.engine import budget, precision
from spine_rl.engine.budget import TokenBudget
from spine_rl.engine.estimate import estimate_bytes_per_token
from spine_rl.engine.forward import score_in_pieces
from spine_rl.errors import UpdateMemoryError
from spine_rl.training.config import SpineConfig
from spine_rl.training.pieces import cut_inputs

CPU = torch.device("cpu")


@pytest.mark.parametrize("architecture", ["qwen2", "gemma3"])
def test_random_shapes_have_finite_gradients_in_16_bits_close_to_those_in_32(architecture):
    model, _ = build_architecture(architecture)
    for seed in range(10):
        batch, advantages = draw_batch(seed)
        weights = torch.randn(2, *batch.completion_mask.shape, generator=torch.Generator().manual_seed(seed))
        results = []
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                results.append(
                    run_update(
                        model,
                        lambda batch=batch: score_in_pieces(model, batch, temperature=0.7),
                        batch.completion_mask,
                        advantages,
                        OBJECTIVES[seed % 2],
                        weights * batch.completion_mask,
                    )
                )
        (_, exact), (objective, rounded) = results
        assert objective.isfinite().all()
        assert (rounded - exact).norm() <= 0.05 * exact.norm() + 1e-6, seed


@pytest.mark.parametrize("sharing", ["two-calls", "off"])
def test_a_small_budget_changes_the_pieces_and_no_gradient(tmp_path, monkeypatch, sharing):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, prompt_sharing=sharing)
    batch = scored_batch(trainer)
    results, sizes = [], []
    backward = trainer._run_backward
    monkeypatch.setattr(trainer, "_run_backward", lambda loss: sizes[-1].append(loss) or backward(loss))
    for tokens in (100_000, 40):
        sizes.append([])
        monkeypatch.setattr(trainer.budget, "count_tokens", lambda *_, tokens=tokens, **__: tokens)
        trainer.model.zero_grad()
        trainer.compute_loss(trainer.model, dict(batch)).backward()
        results.append((gradients(trainer.model), trainer._statistics.pop(trainer.accelerator, kl=False)))
    assert len(sizes[1]) > len(sizes[0]) + 2
    assert_close(results[1][0], results[0][0])
    assert results[1][1] == pytest.approx(results[0][1], rel=1e-5, abs=1e-7)


def test_out_of_memory_begins_the_optimiser_step_anew_in_smaller_pieces(tmp_path, monkeypatch):
    """It comes in the backward pass of the second of two micro-batches, with gradients half added."""
    pretend_answers(monkeypatch)
    weights, garbage = [], []
    for fails in (False, True):
        torch.manual_seed(0)
        model, tokenizer = build_qwen2()
        trainer = make_trainer(
            tmp_path / str(fails),
            (model, tokenizer),
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            optim="sgd",  # whose step is the gradient itself
        )
        backward, calls = trainer._run_backward, []

        def run(loss, backward=backward, calls=calls, fails=fails):
            calls.append(loss)
            backward(loss)
            if fails and len(calls) == 2:
                cycle = nn.Module()
                cycle.__dict__["itself"] = cycle
                garbage.append(weakref.ref(cycle))
                raise torch.OutOfMemoryError("out of memory")

        def halve(halve=trainer.budget.halve):
            assert garbage[0]() is None  # else it is counted as memory in use
            halve()

        monkeypatch.setattr(trainer, "_run_backward", run)
        monkeypatch.setattr(trainer.budget, "halve", halve)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer.train()
        said = [str(warning.message) for warning in caught if "ran out of memory" in str(warning.message)]
        assert len(said) == fails
        assert trainer.state.global_step == 1
        assert trainer._step == 2
        weights.append({name: p.detach() for name, p in model.named_parameters()})
        logged = [row for row in trainer.state.log_history if "entropy/all" in row]
        weights[-1]["tokens"] = torch.tensor([logged[0]["entropy/all"], logged[0]["forks/share"]])
    assert_close(weights[1], weights[0])


def test_a_budget_follows_the_free_memory_and_ends_in_one_line(monkeypatch):
    model, _ = build_qwen2()
    size = estimate_bytes_per_token(model.config)
    monkeypatch.setattr(budget, "CPU_BYTES", 768 * size)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=400 * 2**20))
    roomy = TokenBudget(model, CPU)
    assert roomy.count_tokens() == 768  # on a CPU more would not be faster
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000 * size))
    still_to_come = 3 * sum(p.nbytes for p in model.parameters())  # gradients and Adam's two
    first = TokenBudget(model, CPU).count_tokens(SimpleNamespace(state={}))
    assert first == max(32, (1000 * size - still_to_come) // size // 4)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**34))
    with pytest.warns(UserWarning, match="half as many tokens"):
        roomy.halve()
    assert roomy.count_tokens() == 384
    for tokens in (192, 96, 48):
        roomy.halve()  # says nothing more: a warning would fail this test
        assert roomy.count_tokens() == tokens
    with pytest.raises(UpdateMemoryError, match="max_completion_length"):
        roomy.halve()


def test_inputs_are_cut_by_tokens_with_their_prompts():
    prompt_mask, mask = torch.ones(5, 10), (torch.arange(8) < torch.tensor([8, 4, 8, 2, 8]).unsqueeze(1)).long()
    inputs = {"prompt_mask": prompt_mask, "completion_mask": mask, "group_ids": torch.tensor([0, 0, 0, 1, 1])}
    sizes = [len(part["group_ids"]) for part in cut_inputs(inputs, 30, shares=True)]
    assert sizes == [3, 2]
    assert [len(part["group_ids"]) for part in cut_inputs(inputs, 40)] == [2, 2, 1]  # 18 each, with their padding
    assert [len(part["group_ids"]) for part in cut_inputs(inputs, 1)] == [1] * 5
    assert cut_inputs(inputs, 1000) == [inputs]


@pytest.mark.parametrize("faster", [False, True])
def test_16_bits_are_taken_on_a_cpu_where_they_were_measured_to_be_faster(tmp_path, monkeypatch, faster):
    monkeypatch.setattr(precision, "_measure_gain", lambda *_: 2.0 if faster else 1.0)
    args = SpineConfig(output_dir=str(tmp_path), use_cpu=True)
    assert not args.bf16
    args.choose_precision(128)
    assert not args.bf16  # not in a small model
    args.choose_precision(2048)
    assert args.bf16 is faster
    assert args.mixed_precision == ("bf16" if faster else "no")
    asked = SpineConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    asked.take_measured({"bf16": True})
    asked.choose_precision(2048)
    assert not asked.bf16
    resumed = SpineConfig(output_dir=str(tmp_path), use_cpu=True)
    resumed.take_measured({"bf16": not faster, "generation_dtype": "bfloat16"})
    resumed.choose_precision(2048)  # which would say the contrary
    assert resumed.bf16 is not faster
    assert resumed.generation_dtype == "bfloat16"
