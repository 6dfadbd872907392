"""The page of `spine inspect`: rollouts in, HTML out."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from spine_rl.diagnose.fork_rule import ForkRule
from spine_rl.diagnose.fork_summary import NUM_PARTS, ForkSummary, summarize_forks
from spine_rl.diagnose.inspect_answer import answer_ballots, classify_ballot, tell_forks, tell_validation
from spine_rl.diagnose.rollouts import Rollouts
from spine_rl.diagnose.token_scores import TokenScores
from spine_rl.diagnose.validate_forks import ForkValidation
from spine_rl.engine.token_text import split_text
from spine_rl.pages import Band, Chart, Line, render_page, show_text, to_data_uri, to_inline_chart
from spine_rl.problems import open_image, order_images

_SHOWN = 0.05  # nats: below it a token has no alternatives worth showing, and the page stays small
_PICTURE_SIDE = 512  # pixels


def build_page(rollouts: Rollouts, tokenizer: Any, forks: ForkRule, validation: ForkValidation | None = None) -> str:
    """One self-contained HTML page.

    Args:
        rollouts: What it shows.
        tokenizer: Of the model that drew them.
        forks: Which tokens are marked.
        validation: Shown above the responses, where there is one.
    """
    summary = summarize_forks(rollouts, tokenizer, forks)
    problems = [
        {
            "id": problem.id,
            "prompt": prompt,
            "pictures": [to_data_uri(open_image(image), _PICTURE_SIDE) for image in order_images(problem)],
            "kind": classify_ballot(ballot),
            "votes": sorted(ballot.votes.items(), key=lambda vote: -vote[1]),
            "abstained": ballot.num_abstentions,
            "label": ballot.pseudo_label,
            "responses": [
                {
                    "key": key,
                    "reward": reward,
                    "truncated": response.truncated,
                    "tokens": _view_tokens(tokenizer, response.token_ids, scores, forks),
                }
                for key, reward, response, scores in zip(
                    ballot.keys, ballot.rewards, responses, all_scores, strict=True
                )
            ],
        }
        for problem, prompt, ballot, responses, all_scores in zip(
            rollouts.problems,
            rollouts.prompt_texts,
            rollouts.ballots,
            rollouts.responses,
            rollouts.scores,
            strict=True,
        )
    ]
    return render_page(
        "inspect.html.jinja",
        package="spine_rl.diagnose",
        script=_read_script("spine_rl.pages", "charts.js") + _read_script("spine_rl.diagnose", "inspect.js"),
        problems=problems,
        forks=forks,
        answer=answer_ballots(rollouts.ballots),
        findings=[*tell_forks(summary, forks.preset), *tell_validation(validation)],
        summary=summary,
        positions=None if summary is None or summary.other_entropy is None else _draw_positions(summary),
        validation=validation,
        chart=None if validation is None else _draw_curve(validation),
    )


def _read_script(package: str, name: str) -> str:
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def _draw_positions(summary: ForkSummary) -> Any:
    x = [round(100 * (part + 0.5) / NUM_PARTS) for part in range(NUM_PARTS)]
    line = Line("forks", x, list(summary.positions))
    return to_inline_chart(Chart("share of forks among tokens", [line], x_label="place in the response (%)"))


def _view_tokens(tokenizer: Any, ids: Sequence[int], scores: TokenScores, rule: ForkRule) -> list[dict[str, Any]]:
    entropies, forks = scores.entropies.tolist(), rule.select(scores).tolist()
    return [
        {
            "text": text,
            "entropy": entropy,
            "shade": min(entropy / 2.0, 1.0),
            "fork": fork,
            "details": _describe(tokenizer, scores, index) if fork or entropy >= _SHOWN else "",
        }
        for index, (text, entropy, fork) in enumerate(zip(split_text(tokenizer, ids), entropies, forks, strict=True))
    ]


def _describe(tokenizer: Any, scores: TokenScores, index: int) -> str:
    """JSON for the page's script: entropy, the token's own probability, and the likeliest tokens."""
    top = zip(scores.top_ids[index].tolist(), scores.top_probabilities[index].tolist(), strict=True)
    content = {
        "entropy": round(scores.entropies[index].item(), 3),
        "probability": round(scores.probabilities[index].item(), 4),
        "top": [[show_text(tokenizer.decode([token])), round(probability, 4)] for token, probability in top],
    }
    return json.dumps(content)


def _draw_curve(validation: ForkValidation) -> Any:
    bins = validation.bins
    x = [entry.entropy for entry in bins]

    def line(name: str, colour: int) -> Line:
        points = [getattr(entry, name) for entry in bins]
        band = Band(x, [low for _, low, _ in points], [high for *_, high in points])
        return Line(name.replace("_", " "), x, [mean for mean, *_ in points], colour=colour, bands=[band])

    title = "how often the final answer changes"
    lines = [line("resampled", 0), line("kept", 1)]
    return to_inline_chart(Chart(title, lines, x_label="entropy of the token (nats)", linear_below=0.01))
