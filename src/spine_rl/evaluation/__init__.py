"""Evaluation of a model on labelled problems: the only room, with diagnosis, where gold answers are read.

In the order of use: `prompting` (how a model is asked), `sampling`, `responses` (their folder), `grading`,
`metrics` and `statistics`, `report`; `run` is a whole evaluation on disk, `evaluate` one in memory.
"""
