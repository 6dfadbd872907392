"""The options of `spine train`, as the training takes them, and as they are kept to repeat the run."""

import json
from collections.abc import Sequence

from trl import GRPOConfig, ModelConfig

from spine_rl.cli.groups import Prompts
from spine_rl.cli.parse import Given, make_app, parse
from spine_rl.cli.train_command import ModelOptions, RunOptions, RunTraining, TrainingProblems, collect, train
from spine_rl.options import check_options
from spine_rl.training import SpineConfig
from spine_rl.training.arguments import Arguments, RunArguments
from spine_rl.training.options import MethodOptions
from spine_rl.training.trl_fields import read_fields, refusals_in_one_line, to_json
from spine_rl.training.unused_options import leave_out_unneeded


def build_arguments(
    model: ModelOptions,
    problems: TrainingProblems,
    training: RunTraining,
    method: MethodOptions = MethodOptions(),
    prompts: Prompts = Prompts(),
    run: RunOptions = RunOptions(),
    *,
    given: Given,
) -> Arguments:
    """Builds TRL's configurations of what was given; what was not is as they have it.

    Raises:
        ConfigError: A value that TRL, transformers or SPINE refuses.
    """
    of_training = read_fields(GRPOConfig, given.rest, given.where)
    of_model = read_fields(ModelConfig, given.rest, given.where)
    of_model = {name: value for name, value in of_model.items() if name not in of_training}
    declared = collect(given, model)
    declared.pop("model", None)
    with refusals_in_one_line(TypeError):
        template = prompts.given["chat_template_kwargs"]
        fields = collect(given, training, method) | of_training
        needed = leave_out_unneeded(fields)
        config = SpineConfig(**needed, chat_template_kwargs=template)
        for name in fields.keys() - needed.keys():
            setattr(config, name, fields[name])  # kept as it was given, for the record
        model_config = ModelConfig(model_name_or_path=model.model, **declared, **of_model)
    check_options(model_config, given.where)
    repeated = collect(given, model, problems, training, method, prompts, run) | of_training | of_model
    for name in ("config", "hub_token"):  # a secret is not kept
        repeated.pop(name, None)
    return Arguments(
        RunArguments(
            data=problems.data,
            gold_column=problems.gold_column,
            max_image_pixels=prompts.max_image_pixels,
            system_prompt=prompts.system_prompt,
            prompt_suffix=prompts.prompt_suffix or "",
            overwrite=run.overwrite,
            resume=run.resume,
            **problems.columns,
        ),
        config,
        model_config,
        json.loads(json.dumps(repeated, default=to_json)),
    )


def read_arguments(tokens: Sequence[str]) -> Arguments:
    """The options of `spine train`, from a command line of it.

    Raises:
        ConfigError: As the command would.
    """
    app = make_app(name="train")
    app.default(train)
    return build_arguments(**parse(app, tokens).keywords)
