"""Are tokens of high entropy those that decide the answer? Asked of the lab's base models, a family at a time.

    python benchmarks/fork_validation.py docs/results/forks

Draws responses to held-out problems, resamples tokens over the whole range of entropy, goes on to the end, and counts
changed answers, as `spine inspect --validate-forks` does. Writes forks.json, results.md and a picture.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from spine_rl.diagnose.rollouts import draw_rollouts
from spine_rl.diagnose.validate_forks import ForkValidation, validate_forks
from spine_rl.engine.samplers import Decoding, TransformersSampler
from spine_rl.evaluation.formats import render_table
from spine_rl.lab.bench.run import describe_machine
from spine_rl.lab.experiments.page import read_findings
from spine_rl.lab.tasks import get_task
from spine_rl.problems import PromptStyle

FAMILIES = ("arithmetic", "words", "choice", "vqa")
NUM_PROBLEMS, NUM_RESPONSES, NUM_TOKENS, NUM_REPEATS, SEED = 16, 8, 300, 8, 0


def validate_family(name: str) -> ForkValidation:
    """The outcome for a task's base model."""
    task = get_task(name)
    model, processing_class = task.load_base()
    engine = TransformersSampler(model, processing_class)
    decoding = Decoding(task.max_new_tokens, 1.0, 1.0, 128, SEED)
    problems = task.make_problems("held_out", NUM_PROBLEMS, seed=SEED).problems
    rollouts = draw_rollouts(engine, problems, PromptStyle(), decoding, NUM_RESPONSES)
    return validate_forks(engine, rollouts, decoding, num_tokens=NUM_TOKENS, num_repeats=NUM_REPEATS)


def describe(outcomes: Mapping[str, ForkValidation]) -> str:
    """Both tables."""
    curve = [
        [name, f"{part.entropy:.3f}", str(part.num_tokens), *map(_show_estimate, (part.resampled, part.kept))]
        for name, outcome in outcomes.items()
        for part in outcome.bins
    ]
    scores = [
        [name, *(_show(c) for c in (o.correlation, o.own_correlation)), f"{o.num_deciding / len(o.trials):.2f}"]
        + [_number(value) for selector in o.selectors for value in (selector.precision, selector.recall)]
        for name, o in outcomes.items()
    ]
    heads = ["", "rank correlation with changed", "with resampled − kept", "deciding tokens"]
    heads += ["top 20 %: precision", "recall", "Otsu: precision", "recall"]
    return "\n\n".join(
        [
            render_table(heads, scores),
            "Changed answers by entropy (tenths of the tokens), with 95 % bootstrap intervals over tokens:",
            render_table(["", "entropy, nats", "tokens", "token resampled", "token kept"], curve),
        ]
    )


def plot(outcomes: Mapping[str, ForkValidation], out: Path) -> None:
    """Changed answers over entropy, a panel a family."""
    figure, axes = plt.subplots(1, len(outcomes), figsize=(3.2 * len(outcomes), 3), sharey=True, layout="constrained")
    for axis, (name, outcome) in zip(axes, outcomes.items(), strict=True):
        entropies = [entry.entropy for entry in outcome.bins]
        for label, estimates in (
            ("token resampled", [entry.resampled for entry in outcome.bins]),
            ("token kept", [entry.kept for entry in outcome.bins]),
        ):
            mean, low, high = zip(*estimates, strict=True)
            (line,) = axis.plot(entropies, mean, marker="o", markersize=3, label=label)
            axis.fill_between(entropies, low, high, alpha=0.2, color=line.get_color())
        axis.set(title=name, xlabel="entropy, nats", xscale="log", ylim=(0, 1))
    axes[0].set_ylabel("share of changed answers")
    axes[0].legend(frameon=False)
    for suffix in ("png", "svg"):
        figure.savefig(out / f"forks.{suffix}", dpi=150, metadata={"Date": None} if suffix == "svg" else None)


def _show_estimate(estimate: tuple[float, float, float]) -> str:
    mean, low, high = estimate
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _show(value: tuple[float, float] | None) -> str:
    return "–" if value is None else f"{value[0]:.2f} (p = {value[1]:.1g})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    outcomes = {name: validate_family(name) for name in FAMILIES}
    settings = {"problems": NUM_PROBLEMS, "responses": NUM_RESPONSES, "tokens": NUM_TOKENS, "repeats": NUM_REPEATS}
    record = {"seed": SEED, **settings, "machine": describe_machine()}
    record |= {name: asdict(outcome) for name, outcome in outcomes.items()}
    (out / "forks.json").write_text(json.dumps(record) + "\n")
    plot(outcomes, out)
    (out / "results.md").write_text(_frame(describe(outcomes), out))


def _frame(tables: str, out: Path) -> str:
    return f"""# Are high-entropy tokens the branching points?

Command: `python benchmarks/fork_validation.py {out}`. {NUM_PROBLEMS} held-out problems a family, {NUM_RESPONSES}
responses each, {NUM_TOKENS} tokens tried, equally many from each tenth by entropy; {NUM_REPEATS} continuations with the
token resampled and as many with it kept. A token decides if at least half of the former change the answer; precision
and recall are of those tokens, and shares hold for the tokens tried. [forks.json](forks.json) has versions and trials.

{read_findings(out / "results.md")}

{tables}

![Changed answers over entropy](forks.png)
"""


if __name__ == "__main__":
    main()
