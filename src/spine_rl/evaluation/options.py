"""What `spine eval` and `spine transfer` can be asked for; as light as the help that shows it."""

from dataclasses import dataclass
from pathlib import Path

from spine_rl.options import option
from spine_rl.options.declare import MODEL


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """What is evaluated, what it is compared with, and where it is kept."""

    model: str | None = option(None, MODEL)
    gold_column: str = option("answer", "Column of the gold answer.")
    baseline: str | None = option(None, "Model to compare with, or the --out folder of its evaluation.")
    budget: int | None = option(
        None,
        "Responses per problem of the baseline's vote, beside the model's Pass@1; 0 leaves it out (default: what the "
        "adaptation sampled, where --model is a run's folder).",
        at_least=0,
    )
    from_samples: Path | None = option(None, "Earlier --out folder whose responses are graded anew, without a model.")
    out: Path | None = option(
        None, "Folder for responses and report; an interrupted evaluation goes on with the same command."
    )
    shard: str | None = option(
        None, "Draw only the i-th of n parts, i/n, for several machines; --merge makes an evaluation of them."
    )
    merge: list[Path] = option(factory=list, help="Folder of a shard, its --out; give it again for each.")


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """Options of `spine transfer`."""

    run: Path = option(help="YAML file of spine train; its output_dir is not used.")
    eval_data: list[str] = option(help="Labelled problems to evaluate on; give it again for more.")
    out: Path = option(help="Folder for the run, the evaluations and the table; goes on where it was stopped.")
    gold_column: str = option("answer", "Column of the gold answer, in evaluation.")
