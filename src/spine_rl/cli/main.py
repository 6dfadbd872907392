"""Entry point: the commands and their options."""

from pathlib import Path
from typing import Annotated

import typer

from spine_rl import __version__
from spine_rl.cli import options
from spine_rl.cli.last_resort import run_reported
from spine_rl.engine.quiet import loading_libraries

app = typer.Typer(
    name="spine",
    help="Label-free test-time reinforcement learning at forking tokens.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    run_reported(app)


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    task: Annotated[str, typer.Option(help="arithmetic (text) or vqa (pictures of shapes).")] = "arithmetic",
    out: Annotated[Path, typer.Option(help="Folder for summary.json and the plot; must not hold a demo yet.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(help="Of sampling and of the order of problems.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Adaptation steps of each method; default: the task's own.")
    ] = None,
    methods: Annotated[str, typer.Option(help="Presets, separated by commas.")] = "ttrl,spine",
    learning_rate: Annotated[float | None, typer.Option(help="Of every method; default: the task's own.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in --out.")] = False,
) -> None:
    """Adapts the built-in model by several methods from the same weights, and compares them."""
    with loading_libraries():
        from spine_rl.lab.demo import DEFAULTS, DemoSettings, run_demo
        from spine_rl.lab.tasks import get_task

    chosen = get_task(task)
    default_steps, default_rate = DEFAULTS.get(chosen.name, DEFAULTS["arithmetic"])
    settings = DemoSettings(
        task=chosen,
        out=out,
        seed=seed,
        steps=steps or default_steps,
        methods=tuple(methods.split(",")),
        learning_rate=default_rate if learning_rate is None else learning_rate,
    )
    run_demo(settings, overwrite=overwrite)


@app.command()
def bench(
    out: Annotated[Path, typer.Option(help="Folder for bench.json, growth.json and growth.png.")] = Path("runs/bench"),
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything: about 3 minutes on 2 cores.")] = False,
    size: Annotated[str, typer.Option(help="Random model: 7m, qwen2.5-0.5b or qwen2.5-1.5b.")] = "7m",
    prompts: Annotated[int | None, typer.Option(min=1, help="Of an update's batch, 8 responses each.")] = None,
    growth: Annotated[
        bool, typer.Option("--growth", help="Instead: growth with G, lengths, vocabulary, parameters.")
    ] = False,
) -> None:
    """Times SPINE's training step and generation beside TRL's, on random models, in alternation."""
    with loading_libraries():
        from spine_rl.lab.bench.run import run_bench, run_growth

    if growth:
        run_growth(out)
    else:
        run_bench(out, size=size, prompts=prompts, quick=quick)


@app.command()
def experiment(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A .yaml file, the name of a ready one, or list.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for cells and results. Default: runs/experiments/<name>.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The file's quick form, 5 minutes at most.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at once, each in a process with one thread.")] = 1,
    only: Annotated[
        list[str], typer.Option(help="Run these cells alone: arm=spine,seed=0; several times for more.")
    ] = [],  # noqa: B006
    only_report: Annotated[
        bool, typer.Option("--only-report", help="Run nothing: write the results anew from the finished cells.")
    ] = False,
    reuse: Annotated[
        list[Path],
        typer.Option(help="Folder of another experiment: its cells of the same settings and seed are not run again."),
    ] = [],  # noqa: B006
) -> None:
    """Runs the cells of an experiment that are missing, and writes tables, pictures and a page."""
    with loading_libraries():
        from spine_rl.lab.experiments.run import ExperimentOptions, print_ready, run_experiment

    if source == "list":
        print_ready()
    elif run_experiment(ExperimentOptions(source, out, quick, jobs, only, only_report, reuse)):
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def train(context: typer.Context) -> None:
    """Adapts a model to unlabelled problems: spine train --config run.yaml [--any_field value]."""
    with loading_libraries():
        from spine_rl.cli.train import run_train

    run_train(context.args)


@app.command(name="eval")
def evaluate(
    data: Annotated[str, typer.Option(help="Labelled problems: .jsonl, .json, .csv, .parquet or a hub data set.")],
    model: Annotated[str | None, typer.Option(help="Model folder, adapter folder, .gguf file or hub id.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="k: sampled responses per problem.")] = 8,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for responses and report. An interrupted evaluation goes on with the same command."),
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Compare with this model, or with the --out folder of its evaluation.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Samples per problem of the baseline's vote, beside the model's Pass@1; 0: none. Default: what the "
            "adaptation sampled, where --model is a run's folder.",
        ),
    ] = None,
    from_samples: Annotated[
        Path | None, typer.Option(help="Grade the responses in this --out folder anew, without a model.")
    ] = None,
    engine: Annotated[str, typer.Option(help="transformers, continuous or vllm.")] = "transformers",
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest response. Default: the run's, of a run's folder, else 1024.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=1e-6, help="Of the samples.")] = 0.6,
    top_p: Annotated[float, typer.Option(min=1e-6, max=1.0, help="Of the samples.")] = 0.95,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Responses at once. Default: 64; continuous 256, vllm 1024.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the samples and of the bootstrap.")] = 0,
    answer_type: Annotated[
        str, typer.Option(help="How answers are read where a problem does not say; auto goes by the gold answers.")
    ] = "auto",
    split: options.Split = None,
    prompt_column: options.PromptColumn = None,
    id_column: options.IdColumn = None,
    gold_column: Annotated[str, typer.Option(help="Column of the gold answer.")] = "answer",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many problems.")] = None,
    max_image_pixels: options.MaxImagePixels = None,
    allow_image_urls: options.AllowImageUrls = False,
    system_prompt: options.SystemPrompt = None,
    prompt_suffix: options.PromptSuffix = None,
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, bfloat16, auto.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out and --json hold.")] = False,
) -> None:
    """Greedy Pass@1, mean@k, pass@k and maj@k of a model on labelled problems, with intervals, beside a baseline's."""
    with loading_libraries():
        from spine_rl.cli.evaluate import EvalOptions, run_evaluation
        from spine_rl.cli.prompting import ask
        from spine_rl.engine.samplers import Decoding, pick_batch_size

    given = {
        "system_prompt": system_prompt,
        "prompt_suffix": prompt_suffix,
        "max_new_tokens": max_new_tokens,
        "max_image_pixels": max_image_pixels,
    }
    models = [name for name in (model, baseline) if model is not None and name is not None]
    question = ask(given, *models)
    run_evaluation(
        EvalOptions(
            data,
            Decoding(question.max_new_tokens, temperature, top_p, pick_batch_size(engine, batch_size), seed),
            model=model,
            num_samples=samples,
            answer_type=answer_type,
            style=question.style,
            columns={
                "split": split,
                "prompt_column": prompt_column,
                "id_column": id_column,
                "gold_column": gold_column,
                "limit": limit,
                "max_image_pixels": question.max_image_pixels,
                "allow_image_urls": allow_image_urls,
            },
            engine=engine,
            dtype=dtype,
            baseline=baseline,
            budget=budget,
            out=out,
            from_samples=from_samples,
            json_out=json_out,
            overwrite=overwrite,
        )
    )


@app.command()
def transfer(
    config: Annotated[Path, typer.Option(help="Configuration of spine train; its output_dir is not used.")],
    eval_data: Annotated[list[str], typer.Option(help="Labelled problems to evaluate on; give it several times.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the run, the evaluations and the table; goes on where it was stopped.")
    ],
    samples: Annotated[int, typer.Option(min=1, help="k: sampled responses per problem.")] = 8,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest response. Default: training's.")] = None,
    temperature: Annotated[float, typer.Option(min=1e-6, help="Of the samples.")] = 0.6,
    top_p: Annotated[float, typer.Option(min=1e-6, max=1.0, help="Of the samples.")] = 0.95,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Responses at once.")] = None,
    seed: Annotated[int, typer.Option(help="Of the samples and of the bootstrap.")] = 0,
    engine: Annotated[str, typer.Option(help="transformers, continuous or vllm.")] = "transformers",
    gold_column: Annotated[str, typer.Option(help="Column of the gold answer, in evaluation.")] = "answer",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")] = False,
) -> None:
    """Adapts on one data set and evaluates on others, before and after."""
    with loading_libraries():
        from spine_rl.cli.transfer import TransferOptions, run_transfer
        from spine_rl.engine.samplers import pick_batch_size

    run_transfer(
        TransferOptions(
            config=config,
            eval_data=tuple(eval_data),
            out=out,
            num_samples=samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            batch_size=pick_batch_size(engine, batch_size),
            seed=seed,
            engine=engine,
            gold_column=gold_column,
            overwrite=overwrite,
        )
    )


@app.command()
def vote(
    source: Annotated[str, typer.Argument(metavar="FILE", help="JSONL of id + completion(s), or - for stdin.")],
    answer_type: Annotated[str, typer.Option("--type", help="How answers are read where a row does not say.")] = "auto",
    min_share: Annotated[float, typer.Option(min=0, max=1, help="Least share that a label needs.")] = 0.0,
    min_margin: Annotated[float, typer.Option(min=0, max=1, help="Least lead over the second answer.")] = 0.0,
    weighted: Annotated[bool, typer.Option("--weighted", help="Votes count by the rows' weight.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write a row per problem here, not to stdout.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the summary here.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out and --json name.")] = False,
) -> None:
    """Pseudo-labels by majority vote, for completions of any system."""
    from spine_rl.cli.vote import run_vote
    from spine_rl.voting import VoteRule

    run_vote(
        source,
        answer_type=answer_type,
        rule=VoteRule(min_share, min_margin),
        weighted=weighted,
        out=out,
        json_out=json_out,
        overwrite=overwrite,
    )


@app.command()
def grade(
    source: Annotated[str, typer.Argument(metavar="FILE", help="JSONL of id + completion(s), or - for stdin.")],
    gold: Annotated[str, typer.Option(help="Rows of id + answer (+ options), or a benchmark.")],
    answer_type: Annotated[str, typer.Option("--type", help="How answers are read where a row does not say.")] = "auto",
    id_column: Annotated[
        str | None,
        typer.Option(
            help="Of the gold rows. Default, as in eval: id, problem_id, unique_id or pubid, else row numbers."
        ),
    ] = None,
    gold_column: Annotated[str, typer.Option(help="Column of the gold answer.")] = "answer",
    out: Annotated[Path | None, typer.Option(help="Write a row per completion here.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the metrics here.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out and --json name.")] = False,
) -> None:
    """Pass@1, pass@k and maj@k of completions of any system."""
    from spine_rl.cli.grade import run_grade

    run_grade(
        source,
        gold,
        answer_type=answer_type,
        id_column=id_column,
        gold_column=gold_column,
        out=out,
        json_out=json_out,
        overwrite=overwrite,
    )


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of spine train.")],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    plots: Annotated[Path | None, typer.Option(help="Folder for every chart as PNG and SVG.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
) -> None:
    """One self-contained HTML page about runs; those of equal configuration but the seed are one line with a band."""
    from spine_rl.cli.report import run_report

    run_report(runs, out, plots, overwrite=overwrite)


@app.command()
def preflight(
    model: options.Model,
    data: options.Data,
    limit: options.Limit = 16,
    preset: Annotated[str, typer.Option(help="Of the planned run.")] = "spine",
    problems_per_step: Annotated[int, typer.Option(min=1, help="Of the planned run.")] = 8,
    rows_at_once: Annotated[int, typer.Option(min=1, help="per_device_train_batch_size of the planned run.")] = 8,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write figures and advice here.")] = None,
    generations: options.Generations = 8,
    max_new_tokens: options.MaxNewTokens = None,
    temperature: options.Temperature = 1.0,
    batch_size: options.BatchSize = 64,
    seed: options.Seed = 0,
    answer_type: options.AnswerType = "auto",
    split: options.Split = None,
    prompt_column: options.PromptColumn = None,
    id_column: options.IdColumn = None,
    max_image_pixels: options.MaxImagePixels = None,
    allow_image_urls: options.AllowImageUrls = False,
    system_prompt: options.SystemPrompt = None,
    prompt_suffix: options.PromptSuffix = None,
    dtype: Annotated[
        str, typer.Option(help="Of the weights, as of the planned run: float32, bfloat16, auto.")
    ] = "float32",
    overwrite: options.Overwrite = False,
) -> None:
    """Before a run: consensus, lengths, entropy, estimated cost, and advice, from one round of responses."""
    with loading_libraries():
        from spine_rl.cli.preflight import run_preflight
        from spine_rl.cli.rollout_options import make_options
        from spine_rl.diagnose.preflight import StepPlan

    rollouts = make_options(
        {
            "system_prompt": system_prompt,
            "prompt_suffix": prompt_suffix,
            "max_new_tokens": max_new_tokens,
            "max_image_pixels": max_image_pixels,
        },
        model,
        data,
        num_generations=generations,
        answer_type=answer_type,
        dtype=dtype,
        columns={
            "split": split,
            "prompt_column": prompt_column,
            "id_column": id_column,
            "limit": limit,
            "allow_image_urls": allow_image_urls,
        },
        temperature=temperature,
        batch_size=batch_size,
        seed=seed,
    )
    max_new_tokens, style = rollouts.decoding.max_new_tokens, rollouts.style
    plan = StepPlan(preset, generations, problems_per_step, rows_at_once, max_new_tokens, style.prompt_suffix)
    run_preflight(rollouts, plan, json_out, overwrite=overwrite)


@app.command()
def inspect(
    model: options.Model,
    data: options.Data,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("inspect.html"),
    limit: options.Limit = 8,
    preset: Annotated[str, typer.Option(help="Whose forks are marked.")] = "spine",
    validate_forks: Annotated[
        bool, typer.Option("--validate-forks", help="Resample tokens and see whether the answer changes.")
    ] = False,
    validate_tokens: Annotated[int, typer.Option(min=10, help="How many tokens, over the range of entropy.")] = 200,
    validate_repeats: Annotated[int, typer.Option(min=1, help="k: continuations of each.")] = 8,
    generations: options.Generations = 8,
    max_new_tokens: options.MaxNewTokens = None,
    temperature: options.Temperature = 1.0,
    batch_size: options.BatchSize = 64,
    seed: options.Seed = 0,
    answer_type: options.AnswerType = "auto",
    split: options.Split = None,
    prompt_column: options.PromptColumn = None,
    id_column: options.IdColumn = None,
    max_image_pixels: options.MaxImagePixels = None,
    allow_image_urls: options.AllowImageUrls = False,
    system_prompt: options.SystemPrompt = None,
    prompt_suffix: options.PromptSuffix = None,
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, bfloat16, auto.")] = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """One page of sampled responses: every token's entropy, forks, alternatives and votes."""
    with loading_libraries():
        from spine_rl.cli.inspect import Validation, run_inspect
        from spine_rl.cli.rollout_options import make_options

    rollouts = make_options(
        {
            "system_prompt": system_prompt,
            "prompt_suffix": prompt_suffix,
            "max_new_tokens": max_new_tokens,
            "max_image_pixels": max_image_pixels,
        },
        model,
        data,
        num_generations=generations,
        answer_type=answer_type,
        dtype=dtype,
        columns={
            "split": split,
            "prompt_column": prompt_column,
            "id_column": id_column,
            "limit": limit,
            "allow_image_urls": allow_image_urls,
        },
        temperature=temperature,
        batch_size=batch_size,
        seed=seed,
    )
    validation = Validation(validate_tokens, validate_repeats) if validate_forks else None
    run_inspect(rollouts, out, preset, validation, overwrite=overwrite)


data_app = typer.Typer(help="Benchmarks: what is known, how a prompt looks, and a copy as JSONL.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command(name="list")
def data_list() -> None:
    """Names, rows, answer types, licences and where they come from."""
    from spine_rl.cli.data import list_benchmarks

    list_benchmarks()


@data_app.command(name="show")
def data_show(
    source: Annotated[str, typer.Argument(help="NAME, NAME=PATH of a copy, or a data file.")],
    num_problems: Annotated[int, typer.Option("-n", min=1, help="How many problems.")] = 3,
    gold: Annotated[bool, typer.Option("--gold", help="Show the gold answers too.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with the images here; never overwrites.")] = None,
) -> None:
    """Prompts as a model sees them (before its chat template), options, images and answer types."""
    from spine_rl.cli.data import show_problems

    show_problems(source, num_problems, gold=gold, html=html)


@data_app.command(name="export")
def data_export(
    source: Annotated[str, typer.Argument(help="NAME, or NAME=PATH of a copy.")],
    out: Annotated[Path, typer.Argument(help="A .jsonl file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace it.")] = False,
) -> None:
    """Writes problems with gold answers as JSONL, which every command reads."""
    from spine_rl.cli.data import export_problems

    export_problems(source, out, overwrite=overwrite)


if __name__ == "__main__":
    main()
