"""A run's memory, from its configuration: adapters, frozen towers and the anchor are reckoned with."""

import pytest
from peft import LoraConfig, get_peft_model
from test_trainer import BATCH, make_trainer

from models import build_image_text_model, build_qwen2
from spine_rl import SpineConfig
from spine_rl.engine.models import get_vision_tower
from spine_rl.training.estimate import estimate_run, estimate_trainer


def make_args(**options):
    fields = {"per_device_train_batch_size": 4, "num_generations": 4, "gradient_accumulation_steps": 2, "use_cpu": True}
    return SpineConfig(**fields | options)


def test_an_adapter_that_is_yet_to_come_is_as_one_that_is_there():
    model, _ = build_qwen2()
    config = LoraConfig(r=4, target_modules="all-linear")
    coming = estimate_run(model, make_args(), 10, peft_config=config)
    assert config.target_modules == "all-linear"  # as given
    adapted = get_peft_model(model, config)
    there = estimate_run(adapted, make_args(beta=0.01), 10)
    trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert coming.most.gradients == there.most.gradients == 4 * trained
    assert coming.most.weights == there.most.weights
    assert there.most.reference == 0  # the base without the adapter


def test_the_generation_is_split_over_processes():
    model, _ = build_qwen2()
    one, two = (estimate_run(model, make_args(), 10, num_processes=number) for number in (1, 2))
    assert one.most.caches == 8 * one.least.caches == 2 * two.most.caches
    assert estimate_run(model, make_args(beta=0.01), 10).most.reference == one.most.weights


@pytest.mark.parametrize("freezes", [True, False])
def test_a_frozen_tower_has_no_gradient(freezes):
    model, _ = build_image_text_model("llava")
    tower = sum(weight.nbytes for weight in get_vision_tower(model).parameters())
    parts = estimate_run(model, make_args(freeze_vision=freezes), 10).most
    assert parts.weights - parts.gradients == (tower if freezes else 0)


def test_a_trainer_that_is_ready_is_estimated_as_its_options(tmp_path):
    trainer = make_trainer(tmp_path)
    estimate, other = estimate_trainer(trainer, 10), estimate_run(trainer.model, trainer.args, 10)
    assert (estimate.most, estimate.least) == (other.most, other.least)
    assert estimate.fits
    assert estimate.most.caches == BATCH * estimate.least.caches
