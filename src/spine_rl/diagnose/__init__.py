"""A close look: a round of responses and advice, a page of tokens, and whether forks decide answers.

One idea a file, in the order of use: `rollouts` (a round of responses), `preflight` (advice), `token_scores`,
`inspect_page` (the page of tokens), `validate_forks` (resampling from forks).
"""
