"""The run that `spine preflight` is asked about: its configuration, of the options that were given and a run's file."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peft import PeftConfig
from trl import ModelConfig, get_peft_config, get_quantization_config

from spine_rl.cli.parse import Given
from spine_rl.cli.rest import read_rest, select_fields
from spine_rl.cli.train_command import collect
from spine_rl.diagnose.preflight import StepPlan
from spine_rl.errors import ConfigError, SpineError
from spine_rl.training import SpineConfig

if TYPE_CHECKING:
    from spine_rl.cli.groups import Round
    from spine_rl.cli.model_commands import PreflightOptions, RolloutModel


@dataclass(frozen=True)
class PlannedRun:
    """What will be trained, and how.

    Attributes:
        args: As one process would have them that does the work of all.
        num_processes: That share it.
        sharding: What they share out of the weights and their states.
        peft_config: Of an adapter, or None.
        quantization: Of the base's weights, or None.
    """

    args: SpineConfig
    num_processes: int
    sharding: str
    peft_config: PeftConfig | None
    quantization: Any

    def plan_steps(self, num_problems: int, prompt_suffix: str) -> StepPlan:
        """What a step does, and how many there are for so many problems."""
        args = self.args
        assert args.steps_per_generation is not None
        assert args.generation_batch_size is not None
        steps = max(1, args.num_iterations * args.steps_per_generation // args.gradient_accumulation_steps)
        votes = args.num_votes or args.num_generations
        generations = math.ceil(args.num_train_epochs * (num_problems // args.problems_per_step))
        return StepPlan(
            num_generations=args.num_generations,
            responses_sampled=args.generation_batch_size * votes // args.num_generations,
            responses_trained=args.per_device_train_batch_size * args.gradient_accumulation_steps,
            steps_per_generation=steps,
            num_processes=self.num_processes,
            num_steps=args.max_steps if args.max_steps > 0 else steps * generations,
            max_completion_length=args.max_completion_length or 0,
            prompt_suffix=prompt_suffix,
        )


def plan_run(
    subject: "RolloutModel", plan: "PreflightOptions", sampling: "Round", max_completion_length: int, given: Given
) -> PlannedRun:
    """Of the options of `spine preflight`, and what a run's file or the command line says of the run beside them.

    Raises:
        ConfigError: A value that the run would refuse.
    """
    values = collect(given, subject, plan, sampling) | {"max_completion_length": max_completion_length}
    fields = select_fields(values, SpineConfig) | read_rest(given, SpineConfig)
    fields.pop("output_dir", None)
    for name in ("gradient_accumulation_steps", "steps_per_generation"):  # one process does the work of all
        if fields.get(name) is not None or name == "gradient_accumulation_steps":
            fields[name] = fields.get(name, 1) * plan.num_processes
    of_model = {name: value for name, value in read_rest(given, ModelConfig).items() if name not in fields}
    try:
        args, model = SpineConfig(**fields), ModelConfig(model_name_or_path=subject.model, **of_model)
        quantization = get_quantization_config(model)
        peft_config = get_peft_config(model)
    except (ImportError, TypeError, ValueError) as error:  # checks of TRL's and transformers' configurations
        if isinstance(error, SpineError):
            raise
        raise ConfigError(" ".join(str(error).split())) from None
    return PlannedRun(args, plan.num_processes, plan.sharding, peft_config, quantization)
