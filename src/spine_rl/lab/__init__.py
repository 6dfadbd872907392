"""The lab: a tiny base model, made from nothing, on which claims about learning are tested in minutes on two cores.

A task (`tasks`) has a family of problems, any number of them with their gold answers, and a base model; `adapt` is one
run, of which the demo and `experiments` are made, and `plots` has every picture.
"""
