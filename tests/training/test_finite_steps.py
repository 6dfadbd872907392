"""Steps that are not finite are not taken, are counted, and end a run when they come in a row."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback, TrainerState

from models import build_qwen2, save_qwen2
from spine_rl import SpineConfig, SpineTrainer
from spine_rl.objective import Objective, TokenBatch, compute_loss
from spine_rl.training.finite_steps import FiniteSteps
from spine_rl.training.samples import SampleFile


class Weights(TrainerCallback):
    """The weights after every step."""

    def __init__(self):
        self.after = []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.after.append(flatten(model))

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.after.append(flatten(model))


def flatten(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def adapt(folder, resume=None, **options):
    model, tokenizer = build_qwen2()
    config = SpineConfig(
        output_dir=str(folder), num_generations=2, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        max_completion_length=6, use_cpu=True, report_to="none", disable_tqdm=True,
        **{"max_steps": 6, "learning_rate": 1e-2, "lr_scheduler_type": "constant", "save_strategy": "no", **options},
    )  # fmt: skip
    data = Dataset.from_list([{"prompt": f"{n}+1=", "problem_id": str(n)} for n in range(2)])
    watch = Weights()
    trainer = SpineTrainer(model, config, data, tokenizer, callbacks=[watch])
    trainer.train(resume_from_checkpoint=resume)
    return trainer, watch.after


@pytest.fixture
def poison(monkeypatch):
    """Makes the loss of one micro-batch of some steps not a number."""
    steps, compute_loss = set(), SpineTrainer.compute_loss

    def compute(self, *args, **kwargs):
        loss = compute_loss(self, *args, **kwargs)
        return loss * torch.nan if self.state.global_step + 1 in steps and self._step % 2 else loss

    monkeypatch.setattr(SpineTrainer, "compute_loss", compute)
    return steps


def test_a_step_that_is_not_finite_is_not_taken_and_counted(tmp_path, poison):
    poison |= {2, 3, 5}
    with pytest.warns(UserWarning, match="step 2 is not taken: its loss or gradient is not finite"):
        trainer, after = adapt(tmp_path)
    moved = [not torch.equal(one, next_) for one, next_ in itertools.pairwise(after)]
    assert moved == [True, False, False, True, False, True]
    assert trainer.finite_steps.failure is None
    rows = [row["skipped_steps"] for row in trainer.state.log_history if "skipped_steps" in row]
    assert rows == [0, 1, 2, 2, 3, 3]
    assert after[-1].isfinite().all()


@pytest.mark.filterwarnings("ignore:step")
def test_three_in_a_row_end_the_run_with_the_last_good_weights(tmp_path, poison):
    poison |= {*range(2, 9)}
    trainer, after = adapt(tmp_path, max_steps=9, keep_best="none")
    assert trainer.state.global_step == 4
    assert torch.equal(flatten(trainer.model), after[1])
    assert trainer.finite_steps.failure == (
        "3 steps in a row were not taken, the last because its loss or gradient is not finite; lower learning_rate"
    )


@pytest.mark.filterwarnings("ignore:step")
def test_a_resumed_run_counts_on(tmp_path, poison):
    poison |= {2, 3, 4}
    adapt(tmp_path, max_steps=3, save_strategy="steps", save_steps=3)
    trainer, _ = adapt(tmp_path, resume=str(tmp_path / "checkpoint-3"))
    assert trainer.state.global_step == 4
    assert trainer.finite_steps.skipped == 3
    assert trainer.finite_steps.failure.startswith("3 steps in a row were not taken")


@pytest.mark.filterwarnings("ignore:step")
@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_a_scalers_steps_are_not_taken_and_counted_too(tmp_path, poison, monkeypatch, max_grad_norm):
    """As with fp16 on a GPU: the scaler finds gradients that overflow, and fails where there are none to look at."""
    poison |= {2}
    training_step = SpineTrainer.training_step

    def start(self, *args, **kwargs):
        loss = training_step(self, *args, **kwargs)
        if self.state.global_step == 3:  # the fourth step's gradients overflow, its loss does not
            next(weight for weight in self.model.parameters() if weight.grad is not None).grad.fill_(torch.inf)
        return loss

    def scale(self, real=SpineTrainer.create_optimizer):
        self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        if self.args.max_grad_norm > 0:  # clipping unscales, and looks; accelerate does it in fp16 alone
            clip = self.accelerator.clip_grad_norm_
            scaler = self.accelerator.scaler
            self.accelerator.clip_grad_norm_ = lambda *args, **kwargs: (
                scaler.unscale_(self.optimizer.optimizer),
                clip(*args, **kwargs),
            )[1]
        return real(self)

    monkeypatch.setattr(SpineTrainer, "training_step", start)
    monkeypatch.setattr(SpineTrainer, "create_optimizer", scale)
    trainer, after = adapt(tmp_path, bf16=False, max_grad_norm=max_grad_norm)
    moved = [not torch.equal(one, next_) for one, next_ in itertools.pairwise(after)]
    assert moved == [True, False, True, False, True, True]
    assert [row["skipped_steps"] for row in trainer.state.log_history if "skipped_steps" in row] == [0, 1, 1, 2, 2, 2]


def test_responses_whose_entropies_are_not_finite_are_not_written_down(tmp_path):
    entropies, mask = torch.tensor([[1.0, torch.nan, 1.0], [0.5, 0.5, torch.nan]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    batch = TokenBatch(torch.zeros(2, 3), entropies, mask, advantages=torch.ones(2))
    output = compute_loss(batch, Objective(), num_response_tokens=5.0, num_forks=1.0)
    inputs = {f"{part}_ids": torch.full((2, 3), 7) for part in ("prompt", "completion")}
    inputs |= {f"{part}_mask": mask for part in ("prompt", "completion")}
    file = SampleFile(tmp_path, build_qwen2()[1])
    for _ in range(2):  # train() is called once more: its first step is recorded again
        file.on_train_begin(None, TrainerState(), None)
        file.record(1, inputs, batch, output)
        rows = (tmp_path / "samples.jsonl").read_text().splitlines()
        assert [json.loads(row)["entropies"] for row in rows] == [[0.5, 0.5]]


@pytest.mark.filterwarnings("ignore:step")
def test_weights_that_would_not_be_finite_are_left(tmp_path):
    trainer, after = adapt(tmp_path, learning_rate=1e39)
    assert trainer.state.global_step == 3
    assert all(torch.equal(weights, after[0]) for weights in after)
    assert "would leave weights that are not finite" in trainer.finite_steps.failure
    trainer, _ = adapt(tmp_path, learning_rate=1e39, keep_best="none")
    assert trainer.state.global_step == 1
    assert trainer.finite_steps.failure == "step 1 left weights that are not finite, and none were kept"


@pytest.mark.filterwarnings("ignore:step")
def test_the_command_ends_with_status_1_and_weights_that_are_finite(tmp_path, spine, poison):
    poison |= {*range(1, 9)}
    model, data, out = save_qwen2(tmp_path / "model"), tmp_path / "p.jsonl", tmp_path / "run"
    data.write_text("".join(json.dumps({"id": i, "prompt": f"{i}+{i}="}) + "\n" for i in range(2)))
    status, _, error = spine(
        "train", "--model", model, "--data", data, "--output_dir", out, "--max_steps=6", "--num_generations=2",
        "--per_device_train_batch_size=2", "--gradient_accumulation_steps=2", "--max_completion_length=6",
        "--use_cpu", "--report_to=none",
    )  # fmt: skip
    assert status == 1
    assert "training ended early: 3 steps in a row were not taken" in error
    assert (out / "model.safetensors").exists()


class Elsewhere(torch.Tensor):
    """On another device, as with `device_map="auto"`: torch stacks it with no other before it is moved."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.stack:
            raise RuntimeError("Expected all tensors to be on the same device")
        if function is not torch.Tensor.to:
            return super().__torch_function__(function, types, args, kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **kwargs or {}).as_subclass(torch.Tensor)


def test_weights_on_several_devices_are_looked_at_together():
    steps = FiniteSteps(SimpleNamespace(accelerator=SimpleNamespace(num_processes=1, device="cpu")))
    there = torch.ones(3).as_subclass(Elsewhere)
    assert steps._agree([torch.ones(2), there])
    assert not steps._agree([torch.ones(2), there * torch.inf])


def test_all_processes_leave_out_what_one_cannot_take():
    """Of two processes, this one is well and the other is not."""
    seen = []

    def reduce(flag, reduction):
        seen.append(flag.item())
        return flag + 1.0

    accelerator = SimpleNamespace(num_processes=2, device="cpu", reduce=reduce)
    steps = FiniteSteps(SimpleNamespace(accelerator=accelerator))
    assert not steps._agree([torch.ones(3), torch.empty(0)])
    accelerator.reduce = lambda flag, reduction: flag
    assert steps._agree([torch.ones(3)])
    assert not steps._agree([torch.tensor([1.0, torch.inf])])
    assert seen == [0.0]
