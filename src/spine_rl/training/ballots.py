"""The reward is the vote: TRL's reward callable, and the responses that vote without being trained on."""

from typing import Any

from spine_rl.answers import response_key
from spine_rl.training.dataset import AnswerFormat, get_answer_format
from spine_rl.training.election import Election, Response, hold_election, make_label_choice
from spine_rl.training.sampling import SamplingTrainer
from spine_rl.training.vote_only import ExtraVotes, draw_extra_votes
from spine_rl.voting import Key


class VotingTrainer(SamplingTrainer):
    """Holds an election for every generation batch."""

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
            responses = [
                Response(id_, key, len(ids), truncated, tuple(more.keys), more.length)
                for id_, key, ids, truncated, more in zip(
                    problem_ids, keys, completion_ids, cut_off, extra, strict=True
                )
            ]
            self._election = hold_election(
                responses,
                process_index=self.accelerator.process_index,
                num_processes=self.accelerator.num_processes,
                rule=self.args.vote_rule,
                choose_label=make_label_choice(
                    self.args.reward_source or "vote",
                    self.gold_keys,
                    seed=self.args.seed,
                    step=self.state.global_step,
                ),
            )
            self._log_election(self._election)
        return self._election.rewards[self._election.local].tolist()

    def _is_cut_off(self, completion_ids: list[int]) -> bool:
        return not completion_ids or completion_ids[-1] not in (*self.eos_token_ids, self._tokenizer.pad_token_id)

    def _key(self, completion: str | list[dict[str, Any]], answer_format: AnswerFormat, cut_off: bool) -> Key:
        text = completion if isinstance(completion, str) else completion[-1]["content"]
        return response_key(text, *answer_format, complete=not cut_off)

    def _draw_extra_votes(
        self, prompts: list, problem_ids: list[str], keys: list[Key], formats: list[AnswerFormat]
    ) -> list[ExtraVotes]:
        num_votes = self.args.num_votes
        if num_votes is None or num_votes == self.num_generations:
            return [ExtraVotes() for _ in prompts]

        def answer(prompts: list, rows: list[int]) -> list[tuple[Key, int]]:
            num_generations, self.num_generations = self.num_generations, 1  # rows are no whole groups
            trained = {name: [*values] for name, values in self._metrics["train"].items() if "completions/" in name}
            try:
                _, ids, _, completions, *_ = self._generate(prompts)
            finally:
                self.num_generations = num_generations
                self._metrics["train"].update(trained)  # what TRL says of completions is of those trained on
            return [
                (self._key(completions[i], formats[row], self._is_cut_off(ids[i])), len(ids[i]))
                for i, row in enumerate(rows)
            ]

        return draw_extra_votes(
            prompts,
            problem_ids,
            keys,
            answer,
            num_votes=num_votes,
            wave_size=self.args.vote_wave_size,
            rule=self.args.vote_rule,
            process_index=self.accelerator.process_index,
        )
