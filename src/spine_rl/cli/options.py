"""Options that several commands have."""

from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="Model folder, adapter folder, .gguf file or hub id.")]
Data = Annotated[str, typer.Option(help="Problems: .jsonl, .json, .csv, .parquet, a benchmark or a hub data set.")]
Split = Annotated[str | None, typer.Option(help="Of a hub data set.")]
PromptColumn = Annotated[str | None, typer.Option(help="Column of the prompt.")]
IdColumn = Annotated[str | None, typer.Option(help="Column of the id.")]
AllowImageUrls = Annotated[bool, typer.Option("--allow-image-urls", help="Download images that the data names by URL.")]

# How problems are put to a model: by default as in the run that adapted it (`spine_rl.evaluation.prompting`).
SystemPrompt = Annotated[
    str | None, typer.Option(help="Put before every problem. Default: the run's, of a run's folder, else none.")
]
PromptSuffix = Annotated[
    str | None, typer.Option(help="Put after every problem. Default: the run's, of a run's folder, else nothing.")
]
MaxImagePixels = Annotated[
    int | None,
    typer.Option(min=1, help="Larger images are scaled down to so many pixels. Default: the run's, of a run's folder."),
]

# Of a round of responses.
Generations = Annotated[int, typer.Option(min=2, help="G: responses a problem.")]
MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, help="Longest response. Default: the run's, of a run's folder, else 512.")
]
Temperature = Annotated[float, typer.Option(min=1e-6, help="Of the responses.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Responses at once.")]
Seed = Annotated[int, typer.Option(help="Of the responses.")]
AnswerType = Annotated[str, typer.Option(help="How answers are read where a problem does not say.")]
Limit = Annotated[int, typer.Option(min=1, help="Only the first so many problems.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
