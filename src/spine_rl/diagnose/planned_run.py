"""The run that preflight is asked about: its configuration, as one process would have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peft import PeftConfig
from trl import ModelConfig

from spine_rl.diagnose.preflight import StepPlan
from spine_rl.training.arguments import build_peft_config, list_load_options
from spine_rl.training.config import SpineConfig
from spine_rl.training.trl_fields import refusals_in_one_line
from spine_rl.training.unused_options import leave_out_unneeded, refuse_unused


@dataclass(frozen=True)
class PlannedRun:
    """What will be trained, and how.

    Attributes:
        args: As one process would have them that does the work of all.
        num_processes: That share it.
        sharding: What they share out of the weights and their states.
        peft_config: Of an adapter, or None.
        load_options: How the run loads its model.
    """

    args: SpineConfig
    num_processes: int
    sharding: str
    peft_config: PeftConfig | None
    load_options: dict[str, Any]

    def plan_steps(self, num_problems: int) -> StepPlan:
        """What a step does, and how many there are for so many problems."""
        args = self.args
        assert args.generation_batch_size is not None
        votes = args.num_votes or args.num_generations
        return StepPlan(
            num_generations=args.num_generations,
            responses_sampled=args.generation_batch_size * votes // args.num_generations,
            responses_trained=args.responses_per_step,
            steps_per_rollout=args.steps_per_rollout,
            num_processes=self.num_processes,
            num_steps=args.count_steps(num_problems),
            max_completion_length=args.max_completion_length or 0,
        )


def plan_run(
    model: str, fields: Mapping[str, Any], of_model: Mapping[str, Any], *, num_processes: int, sharding: str
) -> PlannedRun:
    """Of what was given.

    Args:
        model: Folder or hub id.
        fields: Of `SpineConfig`, as each process will have them.
        of_model: Of `trl.ModelConfig`; what is in `fields` too counts for those alone.
        num_processes: That the run will have.
        sharding: What they share out.

    Raises:
        ConfigError: A value that the run would refuse.
    """
    values = {name: value for name, value in fields.items() if name != "output_dir"}
    for name in ("gradient_accumulation_steps", "steps_per_generation"):  # one process does the work of all
        if values.get(name) is not None or name == "gradient_accumulation_steps":
            values[name] = values.get(name, 1) * num_processes
    rest = {name: value for name, value in of_model.items() if name not in values}
    with refusals_in_one_line(TypeError):
        args = SpineConfig(**leave_out_unneeded(values))
        model_config = ModelConfig(model_name_or_path=model, **leave_out_unneeded(rest))
        refuse_unused(model_config, ModelConfig)
        load_options = list_load_options(args, model_config)
        peft_config = build_peft_config(model_config, load_options["revision"])
    return PlannedRun(args, num_processes, sharding, peft_config, load_options)
