"""Do tree rollouts pay? A few whole responses branch where their entropy is highest (ETTRL, arXiv 2508.11356).

    python benchmarks/tree_rollouts.py docs/results/trees

On the lab's base models, per problem: 8 independent responses; 8 others, which say what drawing anew changes; and
trees of 8 leaves whose roots are the first of the 8. A tree's root is drawn whole; at each of its tokens of highest
entropy the token is drawn again, and the response goes on from there. Writes trees.json and results.md.

Counted are tokens drawn, and steps of decoding one after the other: the longest response of the batch, or the longest
root and then the longest branch. Seconds are those of generation alone; entropies are taken to come with it.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from spine_rl.diagnose.rollouts import read_key
from spine_rl.diagnose.token_scores import score_tokens
from spine_rl.engine.samplers import Decoding, SampledResponse, TransformersSampler
from spine_rl.evaluation.formats import render_table
from spine_rl.evaluation.sampling import draw_responses, prepare_prompts
from spine_rl.evaluation.statistics import bootstrap_means
from spine_rl.lab.bench.run import describe_machine
from spine_rl.lab.experiments.page import read_findings
from spine_rl.lab.tasks import get_task
from spine_rl.problems import PromptStyle
from spine_rl.voting import hold_vote

FAMILIES = ("arithmetic", "words")
NUM_PROBLEMS, LEAVES, ROOTS, SEED = 64, 8, (4, 2, 1), 0
COLUMNS = ("other_label", "label_right", "leaves_right", "answers", "unanimous")

Groups = list[list[SampledResponse]]


def measure_family(name: str) -> dict[str, dict[str, Any]]:
    """By way of drawing: tokens, steps and seconds, and per problem what came of the vote."""
    task = get_task(name)
    engine = TransformersSampler(*task.load_base(), "model")
    decoding = Decoding(task.max_new_tokens, 1.0, 1.0, NUM_PROBLEMS * LEAVES, SEED)
    problem_set = task.make_problems("held_out", NUM_PROBLEMS, seed=SEED)
    problems, gold = problem_set.problems, problem_set.gold_answers
    prompts = prepare_prompts(engine, problems, PromptStyle(), task.max_new_tokens)

    def judge(groups: Groups, first_labels: Sequence[str | None] | None) -> dict[str, list[float]]:
        rows = []
        for index, (problem, group) in enumerate(zip(problems, groups, strict=True)):
            ballot = hold_vote(problem.id, [read_key(problem, leaf, "auto") for leaf in group])
            right = read_key(problem, SampledResponse(f"\\boxed{{{gold[problem.id]}}}", [], False), "auto")
            row = {
                "label": ballot.pseudo_label,
                "label_right": float(ballot.pseudo_label == right),
                "leaves_right": fmean(key == right for key in ballot.keys),
                "answers": float(len(ballot.votes)),
                "unanimous": float(ballot.majority_ratio == 1),
            }
            labels = first_labels or [ballot.pseudo_label] * len(problems)
            rows.append(row | {"other_label": float(ballot.pseudo_label != labels[index])})
        return {key: [row[key] for row in rows] for key in rows[0]}

    def draw(seed: int) -> tuple[Groups, float]:
        started = time.perf_counter()
        groups = draw_responses(engine, prompts, Decoding(**{**vars(decoding), "seed": seed}), LEAVES)
        return groups, time.perf_counter() - started

    draw(SEED + 9)  # the first call is checked against the plain forward
    independent, seconds = draw(SEED)
    again, seconds_again = draw(SEED + 1)
    judged = judge(independent, None)
    labels: Any = judged["label"]
    outcomes = {
        "independent": count(independent, (seconds + seconds_again) / 2) | judged,
        "drawn anew": count(again, seconds_again) | judge(again, labels),
    }
    for roots in ROOTS:
        grown, cost = grow(engine, prompts, [group[:roots] for group in independent], decoding)
        outcomes[f"tree of {roots} roots"] = cost | judge(grown, labels)
    return outcomes


def count(groups: Groups, seconds: float) -> dict[str, Any]:
    """Of independent responses."""
    lengths = [len(leaf.token_ids) for group in groups for leaf in group]
    return {"tokens": sum(lengths), "steps": max(lengths), "seconds": seconds}


def grow(
    engine: TransformersSampler, prompts: Sequence[Any], roots: Groups, decoding: Decoding
) -> tuple[Groups, dict[str, Any]]:
    """Trees with as many leaves, and what they cost; the roots are drawn again to be timed."""
    started = time.perf_counter()
    draw_responses(engine, prompts, decoding, len(roots[0]))
    seconds = time.perf_counter() - started
    branches = LEAVES // len(roots[0]) - 1
    starts = []
    for index, (prompt, group) in enumerate(zip(prompts, roots, strict=True)):
        for root in group:
            entropies = score_tokens(
                engine.model, engine.encode([prompt + root.token_ids]), len(root.token_ids)
            ).entropies
            forks = entropies.argsort(descending=True, stable=True)[:branches].tolist()
            forks += [0] * (branches - len(forks))  # of a root with fewer tokens than branches
            starts += [(index, root.token_ids[:fork]) for fork in forks]
    started = time.perf_counter()
    drawn = engine.generate([prompts[index] + prefix for index, prefix in starts], decoding)
    seconds += time.perf_counter() - started
    leaves = [[*group] for group in roots]
    for (index, prefix), branch in zip(starts, drawn, strict=True):
        ids = prefix + branch.token_ids
        text = str(engine.tokenizer.decode(ids, skip_special_tokens=True))
        too_long = len(ids) > decoding.max_new_tokens
        leaves[index].append(SampledResponse(text, ids, branch.truncated or too_long))
    own = [len(root.token_ids) for group in roots for root in group]
    added = [len(branch.token_ids) for branch in drawn]
    return leaves, {"tokens": sum(own) + sum(added), "steps": max(own) + max(added), "seconds": seconds}


def tabulate(outcomes: dict[str, dict[str, Any]]) -> str:
    """A row a way of drawing; 95 % bootstrap intervals over problems."""
    base = outcomes["independent"]
    rows = []
    for name, outcome in outcomes.items():
        columns = {key: outcome[key] for key in COLUMNS}
        intervals = bootstrap_means(columns, SEED)
        ratios = [f"{outcome[key] / base[key]:.2f}" for key in ("tokens", "steps", "seconds")]
        rows.append([name, *ratios, *(_show(fmean(columns[key]), intervals[key]) for key in COLUMNS)])
    heads = ["", "tokens", "steps one after the other", "seconds", "label differs from the independent one's"]
    heads += ["label is right", "share of right leaves", "different answers", "unanimous"]
    return render_table(heads, rows)


def _show(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.2f}" if interval is None else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    outcomes = {name: measure_family(name) for name in FAMILIES}
    record = {"seed": SEED, "problems": NUM_PROBLEMS, "leaves": LEAVES, "machine": describe_machine(), **outcomes}
    (out / "trees.json").write_text(json.dumps(record) + "\n")
    tables = "\n\n".join(f"## {name}\n\n{tabulate(outcome)}" for name, outcome in outcomes.items())
    (out / "results.md").write_text(f"""# Do tree rollouts at forks pay?

Command: `python benchmarks/tree_rollouts.py {out}`. {NUM_PROBLEMS} held-out problems a family, {LEAVES} leaves;
tokens, steps and seconds as shares of those of independent responses.
[trees.json](trees.json) has every outcome, and versions.

{read_findings(out / "results.md")}

{tables}
""")


if __name__ == "__main__":
    main()
