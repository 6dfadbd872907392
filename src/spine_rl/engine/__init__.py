"""How a model generates and scores, for training and evaluation.

Models are loaded by `models`; what the responses to one prompt share is in `groups`, `forward` (the update) and
`decode` (generation); `samplers` has the engines of evaluation.
"""
