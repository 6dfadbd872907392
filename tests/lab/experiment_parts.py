"""An experiment's file, records as runs leave them, and experiments in memory, for tests of experiments."""

from spine_rl.lab.experiments.cells import list_cells
from spine_rl.lab.experiments.frame import Results
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.experiments.spec_file import build_spec
from spine_rl.options import read_yaml

FILE = """
title: A title
tasks: [arithmetic]
seeds: [0, 1]
steps: 4
evaluate_every: 2
fields: {learning_rate: 1e-4}
arms: {ttrl: {preset: ttrl}, spine: {preset: spine}}
compare: [[spine, ttrl]]
sections: []
quick: {seeds: [3], steps: 2}
"""


def make_metrics(value, **more):
    metrics = {"greedy_pass@1": value, "pass@1": value, "maj@8": value, "majority_ratio": 0.5, "n_problems": 64}
    return {**metrics, "response_length": 40, "entropy": 0.1, **more}


SECONDS = {f"seconds/{phase}": [0.1, 0.3] for phase in ("generate", "vote", "forward", "backward", "optimise")}


def make_record(cell, values=(0.2, 0.4), every=2, steps=None):
    """As a run leaves it; Pass@1 after so many steps is as given, everywhere."""
    curve = [
        {"step": index * every, **{name: make_metrics(value) for name in cell.settings["evaluate_on"]}}
        for index, value in enumerate(values)
    ]
    counts = {"bin_width": 0.05, "all": [3, 1], "forks": [0, 1], "texts": [["<b>|`", 4, 1, 0.5]]}
    return {
        **cell.identity,
        "settings": cell.settings,
        "curve": curve,
        "steps": steps or {"step": [1, 2], "vote/majority_ratio": [0.4, 0.5], **SECONDS},
        "lengths": {"start": {"40": 9, "60": 1}, "end": {"40": 10}},
        "tokens": {"start": counts, "end": counts},
        "seconds": {"all": 36.0, "adaptation": 20.0},
        "machine": {"device": "x", "date": str(cell.identity["seed"])},
    }


def load(path, *, quick=False):
    """The experiment in a file."""
    return build_spec(read_yaml(path), Experiment, quick=quick)


def make_experiment(**parts):
    given = {"name": "mine", "title": "T", "tasks": ["arithmetic"], "steps": 4, "evaluate_every": 2}
    given["arms"] = {"ttrl": {"preset": "ttrl"}, "spine": {"preset": "spine"}}
    return Experiment(**{**given, "compare": [["spine", "ttrl"]], **parts})


def make_results(experiment, finals=None):
    """A record a cell; `finals`: (arm, seed) or (arm, learning rate, seed) → Pass@1 at every evaluated step."""
    records = []
    for cell in list_cells(experiment):
        key = (cell.identity["arm"], *cell.identity["point"].values(), cell.identity["seed"])
        if finals is None or key in finals:
            records.append(make_record(cell, *([] if finals is None else [finals[key]])))
    return Results(experiment, records)
