"""The report of an evaluation: metrics with intervals, results by tag, and the comparison with a baseline."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from spine_rl.errors import ConfigError
from spine_rl.evaluation.grading import AnswerSheet, Scores, score_responses, score_votes
from spine_rl.evaluation.responses import Recorded, first_difference
from spine_rl.evaluation.statistics import bootstrap_means, compare_paired

Tags = Mapping[str, Mapping[str, str]]
_SAME = ("problems", "prompt")  # settings that a comparison needs equal; of the decoding, those below
_SAME_DECODING = ("max_new_tokens", "temperature", "top_p")
_SHARPER = 0.8  # ratio of entropies


def build_report(
    sheet: AnswerSheet, tags: Tags, recorded: Recorded, baseline: Recorded | None = None, budget: int = 0
) -> dict[str, Any]:
    """Everything that `evaluation.json` says.

    Args:
        sheet: Problems and gold answers.
        tags: Problem id → tag → value.
        recorded: The model's responses.
        baseline: Another model's, to the same problems, with as many samples or more; the first of them are compared.
        budget: Samples a problem of the adaptation; the baseline's vote over so many stands beside the model. 0: none.

    Returns:
        The metrics by name, `intervals`, `by_tag`, `answer_types` and `settings`; with a baseline also `baseline` (its
        metrics and intervals) and `differences` (model − baseline); with a budget also `budget`.

    Raises:
        ConfigError: The baseline's responses were drawn otherwise, or are too few.
    """
    seed = recorded.settings["decoding"]["seed"]
    scores = score_responses(sheet, recorded.greedy, recorded.samples)
    report = {
        **_describe(scores, seed),
        "by_tag": _report_tags(sheet, tags, scores, seed),
    }
    if baseline is not None:
        k = recorded.settings["num_samples"]
        check_comparable(recorded.settings, baseline, max(k, budget))
        baseline_scores = score_responses(sheet, baseline.greedy, [row[:k] for row in baseline.samples])
        origin = {name: baseline.settings[name] for name in ("model", "revision") if name in baseline.settings}
        report["baseline"] = {**origin, **_describe(baseline_scores, seed)}
        report["differences"] = {
            name: compare_paired(scores.columns[name], baseline_scores.columns[name], seed) for name in list_compared(k)
        }
        if budget > 0:
            report["budget"] = _report_budget(sheet, scores, baseline, budget, seed)
    return report | {"answer_types": sorted(set(sheet.types)), "settings": dict(recorded.settings)}


def list_compared(num_samples: int) -> list[str]:
    """Metrics whose difference is tested."""
    k = num_samples
    return ["greedy_pass@1", f"mean@{k}", f"pass@{k}", f"maj@{k}", "response_length"]


def find_sharpening(report: Mapping[str, Any]) -> str | None:
    """What to say where a gain over the baseline may be one of certainty alone, as a lower temperature gives it."""
    if "baseline" not in report:
        return None
    entropy, before = report["entropy"], report["baseline"]["entropy"]
    is_sharper = entropy is not None and before is not None and entropy < _SHARPER * before
    samples = f"mean@{report['settings']['num_samples']}"
    if not is_sharper or not _gains(report, samples) or _gains(report, "greedy_pass@1"):
        return None
    return (
        f"The samples are better and the greedy answers are not, with an entropy of {entropy:.2f} nats instead of "
        f"{before:.2f}: the gain may be that of a lower temperature. Evaluate both at a lower --temperature, too."
    )


def _gains(report: Mapping[str, Any], name: str) -> bool:
    interval = report["differences"][name]["interval"]
    return interval is not None and interval[0] > 0


def name_model(settings: Mapping[str, Any]) -> str:
    """`org/name`, or where it is of one, `org/name, revision v2`."""
    return settings["model"] + (f", revision {settings['revision']}" if "revision" in settings else "")


def check_comparable(settings: Mapping[str, Any], baseline: Recorded, num_samples: int) -> None:
    """Raises ConfigError where a baseline's responses were not drawn as these settings say, or are too few."""

    def kept(fields: Mapping[str, Any]) -> dict[str, Any]:
        decoding = {name: fields["decoding"][name] for name in _SAME_DECODING}
        return {**{name: fields[name] for name in _SAME}, "decoding": decoding}

    difference = first_difference(kept(settings), kept(baseline.settings))
    if difference is not None:
        name, ours, theirs = difference
        raise ConfigError(
            f"the baseline was evaluated with another {name} ({theirs!r}, the model {ours!r}); evaluate both alike"
        )
    available = baseline.settings["num_samples"]
    if available < num_samples:
        raise ConfigError(
            f"the baseline has {available} samples a problem, {num_samples} are needed; evaluate it with "
            f"--num-generations {num_samples}, or lower --num-generations and --budget here"
        )


def _describe(scores: Scores, seed: int) -> dict[str, Any]:
    return {
        **scores.metrics,
        "entropy": scores.metrics.get("entropy"),
        "intervals": bootstrap_means(scores.columns, seed),
    }


def _report_tags(sheet: AnswerSheet, tags: Tags, scores: Scores, seed: int) -> dict[str, Any]:
    """Tag → value → number of problems, accuracies and their intervals."""
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, problem in enumerate(sheet.problems):
        for tag, value in tags.get(problem.id, {}).items():
            groups[tag][value].append(index)
    return {
        tag: {value: _report_group(scores, indices, seed) for value, indices in sorted(values.items())}
        for tag, values in groups.items()
    }


def _report_group(scores: Scores, indices: Sequence[int], seed: int) -> dict[str, Any]:
    names = [name for name in scores.columns if name.startswith(("greedy_pass@", "mean@", "maj@"))]
    columns = {name: [scores.columns[name][index] for index in indices] for name in names}
    means = {name: fmean(column) for name, column in columns.items()}
    return {"n_problems": len(indices), **means, "intervals": bootstrap_means(columns, seed)}


def _report_budget(sheet: AnswerSheet, scores: Scores, baseline: Recorded, budget: int, seed: int) -> dict[str, Any]:
    """What the baseline's vote reaches with the samples that the adaptation drew, and the model's lead over it."""
    votes = score_votes(sheet, [row[:budget] for row in baseline.samples])
    return {
        "samples_per_problem": budget,
        "baseline_maj": fmean(votes),
        "interval": bootstrap_means({"maj": votes}, seed)["maj"],
        "greedy_pass@1_minus_baseline_maj": compare_paired(scores.columns["greedy_pass@1"], votes, seed),
    }
