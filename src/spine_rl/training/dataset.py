"""What training may see of a data set: prompts, ids and images. Gold answers have no way through."""

from collections import Counter
from collections.abc import Mapping, Sequence

from datasets import Dataset, IterableDataset

from spine_rl.answers import check_answer_type, gold_key, resolve_answer_type
from spine_rl.errors import ConfigError, DataError
from spine_rl.training.config import SpineConfig
from spine_rl.voting import Key

TRAINING_COLUMNS = ("prompt", "problem_id", "answer_type", "options", "image", "images")

AnswerFormat = tuple[str, tuple[str, ...]]  # how a problem's answer is read: its type, and its options' texts


def strip_dataset(dataset: Dataset | IterableDataset | None) -> Dataset | IterableDataset:
    """Keeps what training may read and gives every row a `problem_id`.

    Raises:
        DataError: There is no data set, or no column `prompt`.
    """
    if dataset is None:
        raise DataError("train_dataset is missing; give a Dataset with a column 'prompt'")
    columns = dataset.column_names or []
    if "prompt" not in columns:
        raise DataError(f"train_dataset has no column 'prompt' but {', '.join(columns) or 'none'}; rename one to it")
    dataset = dataset.select_columns([name for name in TRAINING_COLUMNS if name in columns])
    if "problem_id" in columns:
        return dataset
    return dataset.map(lambda _, index: {"problem_id": str(index)}, with_indices=True)


def check_problems(dataset: Dataset | IterableDataset, args: SpineConfig) -> None:
    """Of a data set that is not streamed: ids are unique, and there are problems enough for a step.

    Raises:
        DataError: Naming what is not so.
        ConfigError: A probe of a stream is asked for, or an order of its own.
    """
    if not isinstance(dataset, Dataset):
        if args.probe_problems:
            raise ConfigError(
                f"probe_problems={args.probe_problems}: its problems are voted on again, which a streamed data set "
                "does not allow; give a Dataset, or probe_problems=0"
            )
        if args.data_seed is not None:
            raise ConfigError(f"data_seed={args.data_seed}: a streamed data set is shuffled by seed alone; remove it")
        return
    repeated = [problem_id for problem_id, count in Counter(map(str, dataset["problem_id"])).items() if count > 1]
    if repeated:
        raise DataError(f"train_dataset: problem_id {repeated[0]!r} stands in several rows; ids must be unique")
    check_number(len(dataset), args)


def check_number(num_problems: int, args: SpineConfig) -> None:
    """Of problems: enough for a step. It is asked before a model is loaded, too.

    Raises:
        DataError: There are too few.
    """
    if num_problems < args.problems_per_rollout:
        raise DataError(
            f"the data has {num_problems} problems, but a step takes {args.problems_per_rollout} "
            f"({args.generation_batch_size} responses / num_generations={args.num_generations}); lower "
            "per_device_train_batch_size or gradient_accumulation_steps, or give more problems"
        )


def get_answer_format(answer_type: str | None, options: Sequence[str] | None, args: SpineConfig) -> AnswerFormat:
    """From a row's columns, and the run's `answer_type` where they are silent.

    Raises:
        ConfigError: An unknown type.
    """
    resolved = resolve_answer_type(answer_type, bool(options), args.answer_type)
    return check_answer_type(resolved, auto=False), tuple(options or ())


def compute_gold_keys(
    dataset: Dataset | IterableDataset, gold_answers: Mapping[str, str], args: SpineConfig
) -> dict[str, Key]:
    """Problem id → key of its gold answer, read as the problem's own answers are."""
    formats: dict[str, AnswerFormat] = {}
    if isinstance(dataset, Dataset):
        nothing = [None] * len(dataset)
        types, options = (
            dataset[name] if name in dataset.column_names else nothing for name in ("answer_type", "options")
        )
        for problem_id, answer_type, texts in zip(dataset["problem_id"], types, options, strict=True):
            formats[str(problem_id)] = get_answer_format(answer_type, texts, args)
    default = get_answer_format(None, None, args)
    return {str(id_): gold_key(answer, *formats.get(str(id_), default)) for id_, answer in gold_answers.items()}


def check_gold(dataset: Dataset | IterableDataset, gold_keys: Mapping[str, Key]) -> None:
    """For `label_rule="gold"`: every problem has a gold answer.

    Raises:
        ConfigError: One has none, or the data set is streamed, so that this cannot be known.
    """
    if not isinstance(dataset, Dataset):
        raise ConfigError("label_rule='gold' needs a data set that is not streamed; give a Dataset")
    missing = [problem_id for problem_id in dataset["problem_id"] if gold_keys.get(str(problem_id)) is None]
    if missing:
        raise ConfigError(
            f"label_rule='gold' needs a gold answer for every problem; {len(missing)} have none, first "
            f"{missing[0]!r}; give gold_answers (--gold_column)"
        )
