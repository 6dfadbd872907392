"""The lab: a tiny base model, made from nothing, on which claims about learning are tested in minutes on two cores.

`load_base` gives the model and its tokenizer; `make_problems` any number of fresh problems with their gold answers.
"""

from spine_rl.lab.bench import BASE_FOLDER, MAX_NEW_TOKENS, load_base, make_problems

__all__ = ["BASE_FOLDER", "MAX_NEW_TOKENS", "load_base", "make_problems"]
