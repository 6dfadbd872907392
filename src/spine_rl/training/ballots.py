"""The reward is the vote: TRL's reward callable, and the responses that vote without being trained on."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from spine_rl.answers import response_key
from spine_rl.training.dataset import AnswerFormat, get_answer_format
from spine_rl.training.election import Election, Response, hold_election, skip_problems
from spine_rl.training.response_statistics import measure_responses
from spine_rl.training.sampling import SamplingTrainer
from spine_rl.training.vote_only import ExtraVotes, draw_extra_votes
from spine_rl.voting import STATISTICS, Key, choose_skipped, remember_votes


class VotingTrainer(SamplingTrainer):
    """Holds an election for every generation batch."""

    _responses: list[Response]  # of this process, last drawn
    _election: Election | None = None

    def majority_vote(
        self, prompts: list, completions: list, completion_ids: list[list[int]], problem_id: list[str], **columns: Any
    ) -> list[float | None]:
        """TRL's reward callable: this process's completions in, their rewards out; the vote is over all processes."""
        problem_ids = [*map(str, problem_id)]
        nothing = [None] * len(prompts)
        formats = [
            get_answer_format(answer_type, options, self.args)
            for answer_type, options in zip(
                columns.get("answer_type", nothing), columns.get("options", nothing), strict=True
            )
        ]
        with self.clock.phase("vote"):
            cut_off = [*map(self._is_cut_off, completion_ids)]
            keys = [*map(self._key, completions, formats, cut_off)]
        extra = self._draw_extra_votes(prompts, problem_ids, keys, formats)
        with self.clock.phase("vote"):
            reads_tokens = "tokens" in self.args.get_label_rule().needs
            self._responses = [
                Response(
                    problem_id=id_,
                    key=key,
                    length=len(ids),
                    truncated=truncated,
                    extra_keys=tuple(more.keys),
                    extra_length=more.length,
                    tokens=tuple(ids) if reads_tokens else (),
                )
                for id_, key, ids, truncated, more in zip(
                    problem_ids, keys, completion_ids, cut_off, extra, strict=True
                )
            ]
            if self._needed_statistics:
                return [0.0] * len(prompts)  # until TRL has a batch that can be measured
            return self._hold_election()

    @property
    def _needed_statistics(self) -> list[str]:
        """What the label rule reads of the responses' tokens, beside the tokens themselves."""
        return [name for name in self.args.get_label_rule().needs if name in STATISTICS]

    def _measure_and_elect(self, batch: dict[str, Any]) -> None:
        """The election of a rule that needs statistics; TRL has logged rewards of 0 meanwhile."""
        statistics = measure_responses(self, batch, self._needed_statistics)
        with self.clock.phase("vote"):
            self._responses = [
                replace(response, statistics=each) for response, each in zip(self._responses, statistics, strict=True)
            ]
            self._hold_election()
        self._correct_logged_rewards()

    def _correct_logged_rewards(self) -> None:
        """What TRL has logged of rewards is put right: figures, and the column of its table of completions."""
        assert self._election is not None
        rewards, name = self._election.rewards, self.reward_func_names[0]
        groups = [rewards[self._election.group_ids == group] for group in range(len(self._election.ballots))]
        figures = {
            "reward": rewards.mean(),
            "reward_std": rewards.std(),
            f"rewards/{name}/mean": rewards.mean(),
            f"rewards/{name}/std": rewards.std(),
            "frac_reward_zero_std": fmean(float(group.max() - group.min()) < 1e-8 for group in groups),
        }
        for key, value in figures.items():
            self._metrics["train"][key][-1] = float(value)
        column = self._logs["rewards"][name]
        for _ in range(len(rewards)):
            column.pop()
        column.extend(rewards.tolist())

    def _hold_election(self) -> list[float | None]:
        """Of the responses last drawn; logged, and this process's rewards returned."""
        step = self.state.global_step
        draw = f"{self.args.seed}/{step}"
        election = hold_election(
            self._responses,
            process_index=self.accelerator.process_index,
            num_processes=self.accelerator.num_processes,
            rule=self.args.vote_rule,
            label_rule=self.args.get_label_rule(),
            gold_keys=self.gold_keys,
            draw=draw,
        )
        if self.args.problem_rule == "flip-guard":
            remember_votes(self._label_history, election.ballots, step)
            skipped = choose_skipped(self._label_history, election.ballots, draw)
            election = skip_problems(election, skipped)
            self.log_values({"vote/skipped": len(skipped) / len(election.ballots)})
        self._election = election
        self._log_election(election)
        return election.rewards[election.local].tolist()

    def _is_cut_off(self, completion_ids: list[int]) -> bool:
        return not completion_ids or completion_ids[-1] not in (*self.eos_token_ids, self._tokenizer.pad_token_id)

    def _key(self, completion: str | list[dict[str, Any]], answer_format: AnswerFormat, cut_off: bool) -> Key:
        text = completion if isinstance(completion, str) else completion[-1]["content"]
        return response_key(text, *answer_format, complete=not cut_off)

    def _answer(self, prompts: list, formats: Sequence[AnswerFormat]) -> list[tuple[Key, int]]:
        """Draws a response to each prompt that is not trained on, and returns its answer and its number of tokens."""
        num_generations, self.num_generations = self.num_generations, 1  # rows are no whole groups
        metrics = self._metrics["train"]
        trained = {name: [*values] for name, values in metrics.items()}
        try:
            _, ids, _, completions, *_ = self._generate(prompts)
        finally:
            self.num_generations = num_generations
            for name in [name for name in metrics if "completions/" in name]:
                metrics[name] = trained.get(name, [])  # what TRL says of completions is of those trained on
        return [
            (self._key(completion, answer_format, self._is_cut_off(tokens)), len(tokens))
            for completion, answer_format, tokens in zip(completions, formats, ids, strict=True)
        ]

    def _draw_extra_votes(
        self, prompts: list, problem_ids: list[str], keys: list[Key], formats: list[AnswerFormat]
    ) -> list[ExtraVotes]:
        num_votes = self.args.num_votes
        if num_votes is None or num_votes == self.num_generations:
            return [ExtraVotes() for _ in prompts]

        return draw_extra_votes(
            prompts,
            problem_ids,
            keys,
            lambda prompts, rows: self._answer(prompts, [formats[row] for row in rows]),
            num_votes=num_votes,
            wave_size=self.args.vote_wave_size,
            rule=self.args.vote_rule,
            stops_early=self.args.get_label_rule().reads_label_alone,
            process_index=self.accelerator.process_index,
        )
