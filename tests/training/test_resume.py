"""A resumed run: the order of problems, and the processes that it is of."""

import json

import pytest
from test_trainer import dataset, make_trainer
from transformers import trainer as transformers_trainer

from spine_rl import SpineTrainer
from spine_rl.errors import RunFolderError
from spine_rl.training.checkpoints import check_processes
from spine_rl.training.phases import PhaseClock

PROBLEMS, STEPS_AN_EPOCH = 8, 4


class RecordingTrainer(SpineTrainer):
    """Keeps the problems of each generation."""

    def _generate_and_score_completions(self, inputs):
        self.seen = [*getattr(self, "seen", ()), tuple(dict.fromkeys(row["problem_id"] for row in inputs))]
        return super()._generate_and_score_completions(inputs)


def adapt(folder, monkeypatch, *, steps, resume=None, **changes):
    monkeypatch.setattr("test_trainer.SpineTrainer", RecordingTrainer)
    trainer = make_trainer(
        folder, data=dataset(PROBLEMS), per_device_train_batch_size=8, max_steps=steps, max_completion_length=2,
        save_strategy="steps", save_steps=1, **changes,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("layers", [0, 1])
def test_a_later_epoch_goes_on_in_its_own_order(tmp_path, monkeypatch, layers):
    """Of one of several processes accelerate has a layer more around the sampler."""
    steps = 3 * STEPS_AN_EPOCH
    whole = adapt(tmp_path / "whole", monkeypatch, steps=steps, save_total_limit=100).seen
    assert sorted(sum(whole[:STEPS_AN_EPOCH], ())) == sorted(sum(whole[STEPS_AN_EPOCH : 2 * STEPS_AN_EPOCH], ()))
    assert whole[:STEPS_AN_EPOCH] != whole[STEPS_AN_EPOCH : 2 * STEPS_AN_EPOCH]
    skip = transformers_trainer.skip_first_batches
    for _ in range(layers):
        monkeypatch.setattr(
            transformers_trainer, "skip_first_batches", lambda loader, number: skip(skip(loader, 0), number)
        )
    for done in (2, STEPS_AN_EPOCH, STEPS_AN_EPOCH + 1, 2 * STEPS_AN_EPOCH + 3):
        checkpoint = tmp_path / "whole" / f"checkpoint-{done}"
        assert adapt(tmp_path / "again", monkeypatch, steps=steps, resume=str(checkpoint)).seen == whole[done:], done


def test_seconds_are_those_of_a_step_where_a_log_has_steps_of_an_earlier_process(tmp_path, monkeypatch):
    adapt(tmp_path, monkeypatch, steps=3, logging_steps=3)
    monkeypatch.setattr(PhaseClock, "pop", lambda _: {"generate": 1.0})
    checkpoint = str(tmp_path / "checkpoint-2")
    gone_on = adapt(tmp_path / "again", monkeypatch, steps=3, logging_steps=3, resume=checkpoint)
    assert [row["seconds/generate"] for row in gone_on.state.log_history if "seconds/generate" in row] == [1.0]


def test_another_number_of_processes_does_not_go_on(tmp_path, monkeypatch):
    """Some would have rows of their own left, and others would draw new ones."""
    adapt(tmp_path, monkeypatch, steps=2, steps_per_generation=2)
    checkpoint = tmp_path / "checkpoint-1"
    check_processes(checkpoint, 1)
    with pytest.raises(RunFolderError, match=r"checkpoint-1: 1 process\(es\) wrote it, and 2 would go on"):
        check_processes(checkpoint, 2)
    path = checkpoint / "spine_memory_0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "processes": 2}))
    with pytest.raises(RunFolderError, match="resume with 2, or start a new run"):
        adapt(tmp_path / "again", monkeypatch, steps=2, steps_per_generation=2, resume=str(checkpoint))
