"""`spine vote`: pseudo-labels for completions of any system."""

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from spine_rl.cli.groups import CompletionsFile, JsonOutput, answer_type, group
from spine_rl.errors import ConfigError
from spine_rl.options import option
from spine_rl.runs.kinds import json_kind, rows_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import open_whole

_ROWS = rows_kind("rows of spine vote", "id", "pseudo_label", "votes")
_SUMMARY = json_kind("a summary of spine vote", "problems", "completions", "labelled")


@group("Votes")
@dataclass(frozen=True, kw_only=True)
class VoteOptions:
    """What a vote is, and where its labels go."""

    answer_type: str = answer_type()
    vote_min_share: float = option(
        0.0, "Smallest share of a problem's completions with which an answer becomes its label.", at_least=0, at_most=1
    )
    vote_min_margin: float = option(
        0.0,
        "Smallest lead over the second answer, as a share, with which an answer becomes the label.",
        at_least=0,
        at_most=1,
    )
    weighted: bool = option(False, "Count each vote by its row's weight.")
    out: Path | None = option(None, "File for a row per problem (default: standard output).")


def vote(file: CompletionsFile, /, *, votes: VoteOptions = VoteOptions(), output: JsonOutput = JsonOutput()) -> None:
    """Pseudo-labels by majority vote, for completions of any system."""
    from spine_rl.evaluation.completions import dump, read_completions
    from spine_rl.evaluation.polls import count_votes, describe_summary, summarize_votes
    from spine_rl.voting import VoteRule

    outputs = [Output(votes.out, _ROWS), Output(output.json, _SUMMARY, "--json")]
    check_may_write(outputs, overwrite=output.overwrite, reads=[file])
    if votes.out is None and sys.__stdout__ is None:  # the process was started without it
        raise ConfigError("standard output is closed, and the labels would be lost; give --out FILE")
    rule = VoteRule(votes.vote_min_share, votes.vote_min_margin)
    rows = count_votes(read_completions(file), votes.answer_type, rule, weighted=votes.weighted)
    file_or_screen = open_whole(votes.out, replace=output.overwrite) if votes.out else nullcontext(sys.stdout)
    with file_or_screen as lines:
        lines.writelines(map(dump, rows))
    summary = summarize_votes(rows)
    output.write_json(summary)
    print(describe_summary(summary), file=sys.stderr)
