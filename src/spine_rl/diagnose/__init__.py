"""One round of responses before training: advice, a page of tokens, and whether forks decide answers.

In the order of use: `round` and `rollouts` (the responses), `preflight` (advice) and `planned_run` (the run it is for),
`token_scores`, `fork_summary` and `inspect_page` (the page of tokens), `validate_forks` (resampling from forks).
"""
