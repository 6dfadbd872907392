"""The lab: a tiny base model, made from nothing, on which claims about learning are tested in minutes on two cores.

A task (`tasks`) has a family of problems, any number of them with their gold answers, and a base model;
`adapt.adapt_lab` is a whole run.
"""
