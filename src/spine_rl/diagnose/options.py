"""What `spine preflight` and `spine inspect` can be asked for; as light as the help that shows it."""

from dataclasses import dataclass
from pathlib import Path

from spine_rl.engine.estimate import SHARDINGS
from spine_rl.options import option
from spine_rl.options.declare import MODEL
from spine_rl.presets import CONTROLS, PRESETS
from spine_rl.training.options import FORK_SELECTORS


@dataclass(frozen=True, kw_only=True)
class RolloutModel:
    """Whose responses are looked at, and the forks in them."""

    model: str = option(help=MODEL)
    preset: str | None = option(
        None,
        "Method whose forks are shown (default: that of the run whose folder is given, else spine).",
        choices=(*PRESETS, *CONTROLS),
    )
    fork_selector: str | None = option(
        None, "Rule that picks the forks (default: the preset's, or the run's).", choices=FORK_SELECTORS
    )
    fork_fraction: float | None = option(
        None, "Share of tokens that are forks (default: the run's, else 0.2).", above=0, at_most=1
    )


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """The run that preflight's estimates are of."""

    per_device_train_batch_size: int = option(8, "Responses of one micro-batch.", at_least=1)
    gradient_accumulation_steps: int = option(1, "Micro-batches of one optimiser step.", at_least=1)
    num_processes: int = option(1, "Processes that the run will have.", at_least=1)
    sharding: str = option(
        "none",
        "What the processes share out, where none holds all of it: optimizer, gradients or weights as in ZeRO-1, 2 and "
        "3; weights as in FSDP2.",
        choices=SHARDINGS,
    )


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Where inspect's page goes, and whether forks are tried."""

    out: Path = option(Path("inspect.html"), "File for the page.")
    validate_forks: bool = option(False, "Resample tokens and see whether the answer changes.")
    validate_tokens: int = option(200, "Tokens that are resampled, over the range of entropy.", at_least=10)
    validate_repeats: int = option(8, "Continuations of each resampled token.", at_least=1)
