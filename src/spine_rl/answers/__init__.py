"""From a response's text to the key that votes: extract the answer, then bring it to canonical form. Pure Python.

Two responses agree if and only if their keys are equal, so agreement is an equivalence relation, and the vote, the
reward and the grading use the same one. `None` is "no answer": it never votes and never disappears from a list.
"""

from spine_rl.answers.explain import Step, explain_response
from spine_rl.answers.extract import ANSWER_TYPES, extract_answer
from spine_rl.answers.infer import check_answer_type, infer_answer_type, resolve_answer_type, settle_answer_types
from spine_rl.answers.keys import canonical_key, gold_key, response_key

__all__ = [
    "ANSWER_TYPES",
    "Step",
    "canonical_key",
    "check_answer_type",
    "explain_response",
    "extract_answer",
    "gold_key",
    "infer_answer_type",
    "resolve_answer_type",
    "response_key",
    "settle_answer_types",
]
