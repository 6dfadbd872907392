"""The lab: a tiny base model, made from nothing, on which claims about learning are tested in minutes on two cores.

`bench.load_base` gives the model and its tokenizer, `bench.make_problems` any number of fresh problems with their gold
answers, `adapt.adapt_lab` a whole run.
"""
