"""How well do the label rules' rewards agree with the answers, before any training?

    python benchmarks/label_rules.py MODEL labelled.jsonl OUT --limit 60 --system-prompt '...'

Draws responses to labelled problems, gives them to every rule, and prints a table in Markdown; writes all figures to
OUT. Gold answers are read for the judgement, and by the rule `gold` alone, which is what no rule can exceed.

- *labels right*: share of the problems whose label is the gold answer, of rules that elect one.
- *pairs in order*: of a right and a wrong response to the same problem, how often the right one has the higher reward;
  equal rewards are half in order. 0.5 says nothing about what is right.
- *push*: the mean over all responses of advantage times (1 if right, else 0), with the advantages of a group as the
  update takes them: how strongly a step weighs towards right responses.

In brackets: 95 % bootstrap intervals over the problems; the push less the majority's is paired by problem.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from spine_rl.diagnose.rollouts import Rollouts, draw_rollouts
from spine_rl.engine.certainty import compute_self_certainties, keep_logit_leads
from spine_rl.engine.models import load_model_and_tokenizer
from spine_rl.engine.samplers import Decoding, TransformersSampler
from spine_rl.evaluation.formats import render_table
from spine_rl.evaluation.grading import make_answer_sheet
from spine_rl.evaluation.statistics import bootstrap_means, compare_paired
from spine_rl.lab.bench.run import describe_machine
from spine_rl.objective import compute_group_advantages
from spine_rl.problems import PromptStyle, load_problems
from spine_rl.voting import LABEL_RULES, Key, Poll

LABELLING = ("majority", "confidence-vote")  # rules whose reward is whether an answer is their label
FIGURES = ("labels right", "pairs in order", "push")
Row = dict[str, float | None]


def make_polls(engine: TransformersSampler, rollouts: Rollouts, gold: list[Key], temperature: float) -> list[Poll]:
    """What the rules read of each problem."""
    polls = []
    for prompt, ballot, responses, scores, key in zip(
        rollouts.prompts, rollouts.ballots, rollouts.responses, rollouts.scores, gold, strict=True
    ):
        assert isinstance(prompt, list)
        ids = [response.token_ids for response in responses]
        polls.append(
            Poll(
                ballot.problem_id,
                keys=ballot.keys,
                lengths=[*map(len, ids)],
                tokens=ids,
                mean_logps=[each.probabilities.double().log().mean().item() for each in scores],
                mean_entropies=[each.entropies.double().mean().item() for each in scores],
                self_certainties=[measure_certainty(engine, prompt, each, temperature) for each in ids],
                gold_key=key,
                draw="label_rules",
            )
        )
    return polls


@torch.no_grad()
def measure_certainty(engine: TransformersSampler, prompt: list[int], response: list[int], temperature: float) -> float:
    """A response's mean KL divergence from the uniform distribution, in nats."""
    model: Any = engine.model
    ids, width = engine.encode([prompt + response]), len(response)
    with (
        torch.autocast(model.device.type, torch.bfloat16, enabled=engine.generator.copies),
        keep_logit_leads(model, width) as leads,
    ):
        logits = model(**ids, logits_to_keep=width + 1).logits[0, :-1]
    logps = (logits.float() / temperature).log_softmax(-1).gather(1, ids["input_ids"][0, -width:, None]).squeeze(1)
    certainties: Tensor = compute_self_certainties(leads[0][0], logps, temperature, logits.size(-1))
    return certainties.double().mean().item()


def judge(name: str, polls: list[Poll]) -> list[Row]:
    """A rule's figures on each problem; None where a problem has no say."""
    return [_judge_poll(name, poll) for poll in polls]


def _judge_poll(name: str, poll: Poll) -> Row:
    ballot = LABEL_RULES[name].reward(poll)
    rewards = torch.tensor(ballot.rewards, dtype=torch.float64)
    right = torch.tensor([key is not None and key == poll.gold_key for key in poll.keys])
    leads = rewards[right].unsqueeze(1) - rewards[~right]
    advantages = compute_group_advantages(rewards, torch.zeros(len(rewards), dtype=torch.long))
    return {
        "labels right": float(ballot.pseudo_label == poll.gold_key) if name in LABELLING else None,
        "pairs in order": None if leads.numel() == 0 else ((leads > 0) + 0.5 * (leads == 0)).mean().item(),
        "push": (advantages * right).mean().item(),
    }


def select(rows: list[Row], figure: str) -> list[float]:
    """Of the problems that have a say."""
    return [value for row in rows if (value := row[figure]) is not None]


def describe(rows: list[Row], figure: str) -> str:
    values = select(rows, figure)
    if not values:
        return ""
    interval = bootstrap_means({figure: values}, 0)[figure]
    return f"{fmean(values):.3f}" + ("" if interval is None else " [{:.3f}, {:.3f}]".format(*interval))


def describe_rules(judged: Mapping[str, list[Row]]) -> str:
    """The table."""
    majority = select(judged["majority"], "push")
    table = []
    for name, rows in judged.items():
        lead = compare_paired(select(rows, "push"), majority, 0)
        low, high = lead["interval"]
        less = "" if name == "majority" else f"{lead['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
        table.append([name, *(describe(rows, figure) for figure in FIGURES), less])
    return render_table(["rule", *FIGURES, "push less the majority's"], table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--num-generations", type=int, default=8)
    parser.add_argument("--max-completion-length", type=int, default=320)
    parser.add_argument("--system-prompt")
    options = parser.parse_args()

    model, processor = load_model_and_tokenizer(options.model, dtype=torch.float32)
    engine = TransformersSampler(model, processor)
    loaded = load_problems(options.data, gold_column="answer", limit=options.limit)
    sheet = make_answer_sheet(loaded.problems, loaded.gold_answers)
    decoding = Decoding(options.max_completion_length)
    style = PromptStyle(system_prompt=options.system_prompt)
    rollouts = draw_rollouts(engine, loaded.problems, style, decoding, options.num_generations)
    polls = make_polls(engine, rollouts, [*sheet.gold], decoding.temperature)
    rules = [name for name, rule in LABEL_RULES.items() if rule.learns]
    judged = {name: judge(name, polls) for name in rules}
    print(describe_rules(judged))
    right = [sum(key is not None and key == poll.gold_key for key in poll.keys) for poll in polls]
    outcome = {
        "machine": describe_machine(),
        "problems": len(polls),
        "right_responses": fmean(right) / options.num_generations,
        "problems_with_right_and_wrong": sum(0 < count < options.num_generations for count in right),
        "by_problem": judged,
    }
    options.out.write_text(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main()
