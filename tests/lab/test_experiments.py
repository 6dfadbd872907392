"""Experiments: what a file may say, that no cell is run twice, and that tables say what the cells do."""

import csv
import functools
import io
import json
import os
import runpy
from pathlib import Path

import light_jobs
import pytest

from paths import ROOT
from spine_rl.errors import ConfigError, DataError, RunFolderError
from spine_rl.lab.experiments import fingerprint
from spine_rl.lab.experiments import run as engine
from spine_rl.lab.experiments.cells import Cell, filter_cells, list_cells
from spine_rl.lab.experiments.markdown import quote, render_table
from spine_rl.lab.experiments.monitoring import choose_step, judge_records
from spine_rl.lab.experiments.page import write_results
from spine_rl.lab.experiments.plots import draw_varied
from spine_rl.lab.experiments.records import find_cell_path, load_records, to_columns, to_rows, write_record
from spine_rl.lab.experiments.run import ExperimentOptions, make_plan, run_experiment
from spine_rl.lab.experiments.sections import find_percentile
from spine_rl.lab.experiments.spec import Experiment, TaskRef, list_ready, load_experiment
from spine_rl.lab.experiments.stability import compare_areas, measure_areas, measure_curve
from spine_rl.lab.experiments.tables import (
    compare_arms,
    estimate,
    find_best,
    group_records,
    list_rows,
    tabulate,
    to_csv,
)
from spine_rl.lab.experiments.workers import Failure, Job, run_jobs
from spine_rl.lab.tasks import TASKS

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


@pytest.fixture
def write(tmp_path):
    """Writes an experiment's file, FILE with some lines replaced; returns its path."""

    def write_file(**lines):
        kept = [line for line in FILE.strip().splitlines() if line.partition(":")[0] not in lines]
        path = tmp_path / "mine.yaml"
        path.write_text("\n".join([*kept, *(f"{key}: {value}" for key, value in lines.items() if value is not None)]))
        return path

    return write_file


# ---- the file


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({"sedes": "[0]"}, "unknown key 'sedes'; did you mean 'seeds'?"),
        ({"seeds": "[0, 0]"}, "seeds=[0, 0]: must be a list of different whole numbers"),
        ({"seeds": "many"}, "seeds='many': must be a list"),
        ({"steps": "0"}, "steps=0: must be a whole number, at least 1"),
        ({"steps": None}, "steps is missing; it must be a whole number"),
        ({"fields": "[1]"}, "fields=[1]: must be a mapping"),
        (
            {"fields": "{learnin_rate: 1e-4}"},
            "unknown field 'learnin_rate' of the training configuration; did you mean",
        ),
        ({"fields": "{learning_rate: fast}"}, "arm ttrl: learning_rate: invalid float value: 'fast'"),
        ({"fields": "{fork_fraction: 2.0}"}, "fork_fraction=2.0: must be in (0, 1]"),
        ({"fields": "{max_steps: 3}"}, "field 'max_steps' is not for an experiment to set: give `steps`"),
        ({"axes": "{fork_fraction: [0.1, 1.5]}"}, "fork_fraction=1.5: must be in (0, 1]"),
        ({"axes": "{fork_fraction: 0.1}"}, "axes={'fork_fraction': 0.1}: must be a mapping: field → list of values"),
        ({"axes": "{beta: [0.1]}", "vary": "{beta: [0.2]}"}, "beta stands in axes and in vary; keep one"),
        ({"tasks": "[arithmetik]"}, "task 'arithmetik': unknown; did you mean 'arithmetic'?"),
        ({"tasks": "[{name: mine, model: m}]"}, "tasks: data=None: must be text"),
        ({"tasks": "[{name: mine, model: m, data: d}]"}, "task 'mine': evaluate_on has held_out, so give it eval_data"),
        ({"tasks": "[{name: mine, modell: m}]"}, "tasks: unknown key 'modell'; did you mean 'model'?"),
        ({"evaluate_on": "[adopt]"}, "unknown problem set or task 'adopt'; did you mean 'adapt'?"),
        ({"compare": "[[spine, trl]]"}, "there is no arm 'trl'; did you mean 'ttrl'?"),
        ({"sections": "[curve]"}, "sections=['curve']: must be a list of arms, curves,"),
        ({"sections": "[map]"}, "sections has map, so axes must be learning_rate alone"),
        ({"quick": "3"}, "quick=3: must be a mapping"),
        ({"title": "[unclosed"}, "not valid YAML"),
    ],
)
def test_mistakes_in_the_file_are_named_in_one_line(write, lines, message):
    with pytest.raises(ConfigError) as caught:
        list_cells(load_experiment(write(**lines)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "mine" in str(caught.value)


def test_the_quick_form_replaces_and_may_choose_arms(write):
    quick = load_experiment(write(), quick=True)
    assert (quick.seeds, quick.steps, [*quick.arms]) == ((3,), 2, ["ttrl", "spine"])
    chosen = load_experiment(write(quick="{arms: [ttrl]}"), quick=True)
    assert ([*chosen.arms], chosen.compare, chosen.seeds) == (["ttrl"], (), (0, 1))
    with pytest.raises(ConfigError, match="it has no quick form"):
        load_experiment(write(quick=None), quick=True)
    with pytest.raises(ConfigError, match="unknown arm 'trl'; did you mean 'ttrl'"):
        load_experiment(write(quick="{arms: [trl]}"), quick=True)


@pytest.mark.parametrize("name", list_ready())
def test_ready_files_are_right_in_both_forms(name):
    for quick in (False, True):
        plan = make_plan(list_ready()[name], quick=quick)
        if name.startswith("cost") or all(task.name in TASKS for task in load_experiment(list_ready()[name]).tasks):
            assert len(plan.list_cells()) == plan.num_cells
    if not name.startswith("cost"):
        assert load_experiment(list_ready()[name]).seeds[:3] == (0, 1, 2)


def test_cells_are_every_combination_and_each_varied_field_alone(write):
    path = write(
        axes="{learning_rate: [1e-4, 3e-4]}",
        vary="{fork_fraction: [0.1, 0.2, 0.4]}",
        arms="{ttrl: {preset: ttrl}, oracle: {preset: oracle, allow_gold_rewards: true, learning_rate: 1e-4}}",
        compare="[]",
        seeds="[7]",
    )
    points = [(cell.arm, dict(cell.point)) for cell in list_cells(load_experiment(path))]
    varied = [{}, {"fork_fraction": 0.1}, {"fork_fraction": 0.4}]  # 0.2 is what it is without
    assert points == [
        *[("ttrl", {"learning_rate": rate, **more}) for rate in (1e-4, 3e-4) for more in varied],
        *[("oracle", {"learning_rate": 1e-4, **more}) for more in varied],
    ]


def test_a_cells_name_is_its_own_and_says_what_it_is(write):
    alone = list_cells(load_experiment(write(arms="{'a, b/c': {preset: ttrl}}", compare="[]", seeds="[1]")))
    assert [cell.name for cell in alone] == ["arithmetic-a_b_c-seed=1"]
    with pytest.raises(ConfigError, match="two cells would be 'arithmetic-a_b-seed=0'"):
        list_cells(load_experiment(write(arms="{a b: {preset: ttrl}, 'a,b': {preset: ttrl}}", compare="[]")))
    cells = list_cells(load_experiment(write(axes="{learning_rate: [1e-4, 3.0e-5]}")))
    assert cells[3].name == "arithmetic-spine-learning_rate=3e-05-seed=0"
    assert cells[3].settings["fields"]["learning_rate"] == 3e-5
    assert cells[3].settings["fields"]["max_completion_length"] == TASKS["arithmetic"].max_new_tokens


def test_a_choice_of_cells(write):
    cells = list_cells(load_experiment(write()))
    assert filter_cells(cells, []) == cells
    assert [(c.arm, c.seed) for c in filter_cells(cells, ["arm=ttrl,seed=1", "seed=0"])] == [
        ("ttrl", 0), ("spine", 0), ("ttrl", 1),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="'arms' is none of task, arm, seed"):
        filter_cells(cells, ["arms=ttrl"])
    with pytest.raises(ConfigError, match="seed is one of 0, 1"):
        filter_cells(cells, ["seed=2"])
    commas = list_cells(load_experiment(write(arms="{'forks, band': {}, all: {preset: ttrl}}", compare="[]")))
    assert [(c.arm, c.seed) for c in filter_cells(commas, ["arm=forks, band,seed=0"])] == [("forks, band", 0)]
    own_rate = "{ttrl: {preset: ttrl, learning_rate: 1e-3}, spine: {}}"
    cells = list_cells(load_experiment(write(arms=own_rate, axes="{learning_rate: [1e-4]}")))
    with pytest.raises(ConfigError, match="no cell is all of this"):
        filter_cells(cells, ["arm=ttrl,learning_rate=0.0001"])
    assert [c.arm for c in filter_cells(cells, ["learning_rate=1e-4,seed=0"])] == ["spine"]  # as one writes it


def test_a_field_is_varied_from_what_it_is_by_preset_and_task(write):
    path = write(
        arms="{spine: {preset: spine}}",
        vary="{band: [quantile, none], per_device_train_batch_size: [32, 64]}",
        compare="[]",
        seeds="[0]",
    )
    points = [dict(cell.point) for cell in list_cells(load_experiment(path))]
    assert points == [{}, {"band": "none"}, {"per_device_train_batch_size": 32}]  # the lab's batch has 64 rows
    assert make_plan(path).num_cells == 3


def test_own_tasks_cells_know_their_files(tmp_path, write):
    data = tmp_path / "p.jsonl"
    own = f"{{name: mine, model: someone/model, data: {data}, eval_data: {data}}}"
    path = write(tasks=f"[{own}]")

    def get_settings(text):
        data.write_text(text)
        fingerprint._digest.cache_clear()
        return list_cells(load_experiment(path))[0].settings["task"]

    before, after = get_settings('{"prompt": "a"}'), get_settings('{"prompt": "b"}')
    assert [name for name in before if before[name] != after[name]] == ["data_files", "eval_data_files"]
    assert "model_files" not in before  # of the hub
    other = "{name: other, model: m, data: d.jsonl}"
    with pytest.raises(ConfigError, match="task 'other': evaluate_on has other, so give it eval_data"):
        list_cells(load_experiment(write(tasks=f"[{own}, {other}]", evaluate_on="[adapt, other]")))


# ---- running


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
        "task": cell.task.name,
        "arm": cell.arm,
        "point": dict(cell.point),
        "seed": cell.seed,
        "settings": cell.settings,
        "curve": curve,
        "steps": steps or {"step": [1, 2], "vote/majority_ratio": [0.4, 0.5], **SECONDS},
        "lengths": {"start": {"40": 9, "60": 1}, "end": {"40": 10}},
        "tokens": {"start": counts, "end": counts},
        "seconds": {"all": 36.0, "adaptation": 20.0},
        "machine": {"device": "x", "date": str(cell.seed)},
    }


@pytest.fixture
def pretend(monkeypatch):
    """Runs are pretended, in this process; gives the names of those that ran. The arms in `fail` fail."""
    ran = []

    def run_cell(tasks, cell, on_step):
        ran.append(cell.name)
        on_step(1)
        return make_record(cell)

    def run_all(jobs, num_workers, logs, listener):
        failures = []
        for job in jobs:
            listener.on_start(job)
            if any(f"-{arm}-" in job.name for arm in run_all.failing):
                failures.append(Failure(job, "ValueError: no luck", logs / "x.log"))
            else:
                write_record(job.path, job.run(lambda step, job=job: listener.on_step(job, step)))
            listener.on_end(job, failures[-1] if failures and failures[-1].job is job else None)
        return failures

    run_all.failing, run_all.ran = [], ran
    monkeypatch.setattr(engine, "run_cell", run_cell)
    monkeypatch.setattr(engine, "run_jobs", run_all)
    return run_all


def test_cells_are_run_once_and_the_rest_later(write, pretend, tmp_path, capsys):
    run_experiment(ExperimentOptions(str(write()), tmp_path / "out", only=["seed=0"]))
    assert pretend.ran == ["arithmetic-ttrl-seed=0", "arithmetic-spine-seed=0"]
    assert "2 of 4 cells are finished" in (tmp_path / "out" / "results.md").read_text()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()}
    for _ in range(2):
        run_experiment(ExperimentOptions(str(write()), tmp_path / "out"))
        assert pretend.ran[2:] == ["arithmetic-ttrl-seed=1", "arithmetic-spine-seed=1"]
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    assert "3/4 cells done" in capsys.readouterr().out


def test_cells_that_another_experiment_finished_are_not_run_again(write, pretend, tmp_path, spine):
    run_experiment(ExperimentOptions(str(write()), tmp_path / "first", only=["arm=ttrl"]))
    other = tmp_path / "other.yaml"
    other.write_text(write().read_text().replace("ttrl", "plain"))
    other.write_text(other.read_text().replace("preset: plain", "preset: ttrl"))
    run_experiment(ExperimentOptions(str(other), tmp_path / "second", only=["seed=0"], reuse=[tmp_path / "first"]))
    assert pretend.ran[2:] == ["arithmetic-spine-seed=0"]
    record = json.loads((tmp_path / "second" / "cells" / "arithmetic-plain-seed=0.json").read_text())
    assert (record["arm"], record["seed"], record["run_as"]) == ("plain", 0, "first: arithmetic-ttrl-seed=0")
    status, _, err = spine("experiment", other, "--out", tmp_path / "third", "--reuse", tmp_path / "none")
    assert (status, err.count("\n"), "none: holds no cells" in err) == (2, 1, True)


def test_a_failed_cell_is_reported_and_the_others_go_on(write, pretend, tmp_path, spine):
    pretend.failing.append("ttrl")
    status, out, _ = spine("experiment", write(), "--out", tmp_path / "out", "--only", "seed=0")
    assert (status, "failed: arithmetic-ttrl-seed=0: ValueError: no luck" in out) == (1, True)
    status, out, _ = spine("experiment", write(), "--out", tmp_path / "out", "--only-report")
    assert (status, "1 of 4 cells" in out) == (0, True)
    pretend.failing.clear()
    status, out, _ = spine("experiment", write(), "--out", tmp_path / "out")
    assert (status, "4 of 4 cells" in out) == (0, True)


def test_mistakes_on_the_command_line_are_one_line(spine, tmp_path):
    status, _, err = spine("experiment", "abblation")
    assert (status, err.count("\n"), "did you mean 'ablation'" in err) == (2, 1, True)
    status, _, err = spine("experiment", "ablation", "--only-report", "--out", tmp_path)
    assert (status, err.count("\n"), "holds no finished cell of ablation" in err) == (2, 1, True)
    status, out, _ = spine("experiment", "list")
    assert (status, "stability" in out) == (0, True)


def test_an_interrupted_write_leaves_no_cell(write, tmp_path, monkeypatch):
    cell = list_cells(load_experiment(write()))[0]
    path = find_cell_path(tmp_path, cell)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            write_record(path, make_record(cell))
    assert not path.exists()
    assert load_records(tmp_path, [cell]) == []
    write_record(path, make_record(cell))
    assert load_records(tmp_path, [cell])[0]["arm"] == "ttrl"


def test_cells_of_other_settings_are_not_mixed_in(write, pretend, tmp_path):
    options = ExperimentOptions(str(write()), tmp_path / "out", only=["arm=ttrl"])
    run_experiment(options)
    write(steps="6")
    with pytest.raises(RunFolderError, match=r"another steps \(4 then, 6 now\); give another --out, or remove it"):
        run_experiment(options)
    write(fields="{learning_rate: 1e-3}")
    with pytest.raises(RunFolderError, match=r"another learning_rate \(0.0001 then, 0.001 now\)"):
        run_experiment(options)
    assert len(pretend.ran) == 2
    path = next((tmp_path / "out" / "cells").iterdir())
    path.write_text(path.read_text()[:50])
    write()
    with pytest.raises(DataError, match="cannot be read"):
        run_experiment(options)


class Listener:
    def __init__(self):
        self.events = []

    def on_start(self, job):
        self.events.append(("start", job.name))

    def on_step(self, job, step):
        self.events.append(("step", job.name, step))

    def on_end(self, job, failure):
        self.events.append(("end", job.name, failure and failure.reason))


def make_job(tmp_path, title, function, **arguments):
    return Job(title, tmp_path / f"{title}.json", functools.partial(function, **arguments), 1)


def test_workers_run_jobs_with_one_thread_and_outlive_what_fails(tmp_path):
    jobs = [make_job(tmp_path, name, getattr(light_jobs, name)) for name in ("fail", "die", "report_process")]
    listener = Listener()
    failures = run_jobs(jobs, 1, tmp_path / "logs", listener)
    assert [(failure.job.name, failure.reason) for failure in failures] == [
        ("fail", "ValueError: no such luck"), ("die", "its process ended with exit status 3"),
    ]  # fmt: skip
    assert "said before the end" in failures[0].log.read_text()
    assert "Traceback" in failures[0].log.read_text()
    record = json.loads(jobs[2].path.read_text())
    assert record["threads"] == "1"
    assert record["pid"] != os.getpid()
    assert ("step", "report_process", 1) in listener.events
    assert listener.events[-1] == ("end", "report_process", None)
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["die.log", "fail.log"]


def test_workers_run_jobs_side_by_side_and_none_whose_record_is_there(tmp_path):
    jobs = [make_job(tmp_path, name, light_jobs.wait_for_another, folder=tmp_path, name=name) for name in "ab"]
    done = make_job(tmp_path, "done", light_jobs.fail)
    done.path.write_text("{}")
    assert run_jobs([*jobs, done], 2, tmp_path / "logs", Listener()) == []
    assert len({json.loads(job.path.read_text())["pid"] for job in jobs}) == 2
    assert done.path.read_text() == "{}"


# ---- tables


def make_experiment(**parts):
    fields = {"name": "mine", "title": "T", "tasks": (TaskRef("arithmetic"),), "steps": 4, "evaluate_every": 2}
    fields["arms"] = {"ttrl": {"preset": "ttrl"}, "spine": {"preset": "spine"}}
    return Experiment(**{**fields, "compare": (("spine", "ttrl"),), **parts})


def make_records(experiment, finals):
    """A record a cell; `finals`: (arm, seed) or (arm, learning rate, seed) → Pass@1 at every evaluated step."""
    records = []
    for cell in list_cells(experiment):
        key = (cell.arm, *cell.point.values(), cell.seed)
        if key in finals:
            records.append(make_record(cell, finals[key]))
    return records


def test_estimates_are_students():
    # mean 2, standard deviation 1, three seeds: 4.303 / √3
    value = estimate([1.0, 2.0, 3.0])
    assert (value.mean, value.half, value.num_seeds) == (2.0, pytest.approx(2.484, abs=1e-3), 3)
    assert estimate([1.0, 3.0]).half == pytest.approx(12.706, abs=1e-3)  # 12.706 · √2 / √2
    assert estimate([5.0]).half is None
    assert estimate([5.0]).describe() == "5.000"
    assert value.describe(signed=True) == "+2.000 ± 2.484"


def test_differences_are_paired_by_seed():
    """TTRL 0.2, 0.3, 0.4 and SPINE 0.4, 0.5, 0.6: by seed always 0.2, though each interval alone is ± 0.248."""
    finals = {("ttrl", seed): (0.1, 0.5, 0.2 + seed / 10) for seed in range(3)}
    finals |= {("spine", seed): (0.1, 0.5, 0.4 + seed / 10) for seed in range(3)}
    experiment = make_experiment()
    groups = group_records(make_records(experiment, finals))
    rows = compare_arms(experiment, groups)
    assert {(row.problem_set, row.metric) for row in rows} == {
        (name, metric) for name in ("adapt", "held_out") for metric in ("greedy_pass@1", "pass@1")
    }
    assert all(row.title == "spine − ttrl" for row in rows)
    assert all(row.estimate.mean == pytest.approx(0.2) for row in rows)
    assert all(row.estimate.half == pytest.approx(0.0, abs=1e-9) for row in rows)
    best, fall = find_best(groups[0], "adapt", "pass@1")
    assert (best.mean, best.half) == (0.5, 0.0)
    assert (fall.mean, fall.half) == (pytest.approx(0.2), pytest.approx(0.248, abs=1e-3))


def test_only_seeds_of_both_arms_are_compared():
    finals = {("ttrl", 0): (0.1, 0.2), ("spine", 0): (0.1, 0.5), ("spine", 1): (0.1, 0.9)}
    experiment = make_experiment()
    row = compare_arms(experiment, group_records(make_records(experiment, finals)))[0]
    assert (row.estimate.mean, row.estimate.half, row.estimate.num_seeds) == (pytest.approx(0.3), None, 1)


def test_each_arm_is_compared_at_its_own_best_point_too():
    experiment = make_experiment(axes={"learning_rate": (1e-4, 1e-3)}, seeds=(0,))
    finals = {("ttrl", 1e-4, 0): (0.1, 0.6), ("ttrl", 1e-3, 0): (0.1, 0.0)}
    finals |= {("spine", 1e-4, 0): (0.1, 0.5), ("spine", 1e-3, 0): (0.1, 0.7)}
    rows = compare_arms(experiment, group_records(make_records(experiment, finals)))
    found = {row.title: row.estimate.mean for row in rows if (row.problem_set, row.metric) == ("adapt", "pass@1")}
    assert found == {
        "spine − ttrl, learning_rate 0.0001": pytest.approx(-0.1),
        "spine − ttrl, learning_rate 0.001": pytest.approx(0.7),
        "each at its best: spine, learning_rate 0.001 − ttrl, learning_rate 0.0001": pytest.approx(0.1),
    }


def test_tidy_rows():
    experiment = make_experiment(axes={"learning_rate": (1e-4,)}, seeds=(0,), evaluate_on=("adapt",))
    records = make_records(experiment, {("ttrl", 1e-4, 0): (0.1, 0.6), ("spine", 1e-4, 0): (0.1, 0.7)})
    table = [*csv.DictReader(io.StringIO(to_csv(tabulate(list_rows(records)))))]
    assert [(row["arm"], row["learning_rate"], row["seed"], row["step"], row["pass@1"]) for row in table] == [
        ("ttrl", "0.0001", "0", "0", "0.1"),
        ("ttrl", "0.0001", "0", "2", "0.6"),
        ("spine", "0.0001", "0", "0", "0.1"),
        ("spine", "0.0001", "0", "2", "0.7"),
    ]


def test_the_page_is_made_from_the_cells_and_keeps_findings(tmp_path):
    sections = ("arms", "curves", "lengths", "entropies", "phases", "map", "transfer", "monitor")
    experiment = make_experiment(axes={"learning_rate": (1e-4, 1e-3)}, sections=sections, seeds=(0, 1))
    finals = {(arm, rate, seed): (0.2, 0.4) for arm in experiment.arms for rate in (1e-4, 1e-3) for seed in (0, 1)}
    del finals["spine", 1e-3, 1]
    (tmp_path / "findings.md").write_text("It **works**.\n")
    write_results(experiment, make_records(experiment, finals), 8, tmp_path, "spine experiment mine --out x")
    page = (tmp_path / "results.md").read_text()
    assert "7 of 8 cells are finished" in page
    assert "## What they say\n\nIt **works**." in page
    assert "| ttrl, learning_rate 0.0001 | 0.400 ± 0.000 | 0.400 ± 0.000 |" in page
    assert "| `<b>\\|\\x60` | 4 | 25% | 0.500 |" in page  # of the last group, which has one seed
    assert "| ttrl | 1.000 ± 0.000 | 0.000 ± 0.000 | 2 |" in page  # the map: both rates, both seeds
    assert "| spine | 1.000 | 0.000 | 1 |" in page
    assert "| ttrl, learning_rate 0.0001 | 0.200 | 0.200 | 0.200 | 0.200 | 0.200 | 1.000 |" in page
    for name in ("arms", "curves", "lengths", "entropies", "map"):
        assert f"({name}-arithmetic.png)" in page
        assert (tmp_path / f"{name}-arithmetic.png").stat().st_size > 5000
        assert "<svg" in (tmp_path / f"{name}-arithmetic.svg").read_text()
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["cells"] == {"finished": 7, "all": 8}
    assert len(content["machines"]) == 1  # dates apart, they are one
    assert content["map"]["arithmetic"]["areas"]["ttrl"]["0"] == {"above": 1.0, "collapsed": 0.0}


def test_varied_fields_are_drawn_and_the_same_cells_give_the_same_bytes(tmp_path):
    experiment = make_experiment(vary={"fork_fraction": (0.1, 0.4)}, seeds=(0,), sections=())
    records = [make_record(cell) for cell in list_cells(experiment)]
    written = []
    for _ in range(2):
        write_results(experiment, records, len(records), tmp_path, "c")
        written.append([(tmp_path / name).read_bytes() for name in ("results.md", "varied-arithmetic.svg")])
    assert written[0] == written[1]
    assert b"| spine, fork_fraction 0.1 \xe2\x88\x92 spine | +0.000 |" in written[0][0]


def test_varied_fields_have_a_row_of_panels_a_point_of_the_axes(tmp_path):
    experiment = make_experiment(
        vary={"num_votes": (16, 32)}, axes={"learning_rate": (1e-4, 1e-3)}, seeds=(0,), sections=("curves", "map")
    )
    cells = list_cells(experiment)
    groups = group_records(make_record(cell) for cell in cells)
    figure = draw_varied(experiment, groups, "adapt")
    panels = [axes for axes in figure.axes if axes.has_data()]
    assert [axes.get_title() for axes in panels] == [
        "num_votes\nlearning_rate 0.0001", "num_votes\nlearning_rate 0.001",
    ]  # fmt: skip
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["16", "32", "None"]
    varied = [make_record(cell) for cell in cells if "num_votes" in cell.point]
    write_results(experiment, varied, len(cells), tmp_path, "c")  # neither curves nor a map without the arm as it is
    assert "## arithmetic: curves" not in (tmp_path / "results.md").read_text()


def test_an_own_tasks_name_is_no_path(tmp_path):
    experiment = make_experiment(sections=("lengths",), seeds=(0,))
    records = [make_record(cell) | {"task": "../a b"} for cell in list_cells(experiment)]
    (tmp_path / "out").mkdir()
    write_results(experiment, records, 2, tmp_path / "out", "c")
    assert "(lengths-.._a_b.png)" in (tmp_path / "out" / "results.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_markdown_shows_text_as_text():
    assert quote("a`b\n\\") == "`a\\x60b\\x0a\\`"
    assert render_table(["a"], [["x|y"]]).splitlines()[-1] == "| x\\|y |"


def test_percentiles_of_counted_lengths():
    counts = {10: 1, 20: 8, 90: 1}
    assert [find_percentile(counts, percent) for percent in (10, 50, 90, 91)] == [10, 20, 20, 90]


# ---- the map


def make_curve(*points):
    return [{"step": step, "adapt": {"pass@1": value}} for step, value in points]


def test_area_of_a_run():
    """Start 0.5; above it for steps 1-10 of 40, at it for 11-20 (not above), collapsed for 21-40."""
    area = measure_curve(make_curve((0, 0.5), (10, 0.6), (20, 0.5), (40, 0.4)), "adapt")
    assert (area.above, area.collapsed) == (0.25, 0.5)
    assert measure_curve(make_curve((0, 0.5), (10, 0.45)), "adapt").collapsed == 0.0


def test_area_of_the_map_is_paired_by_seed_and_needs_every_rate():
    experiment = make_experiment(axes={"learning_rate": (1e-4, 1e-3)}, seeds=(0, 1, 2))
    up, down = (0.3, 0.5), (0.3, 0.1)
    finals = {("ttrl", 1e-4, seed): up for seed in range(3)} | {("ttrl", 1e-3, seed): down for seed in range(3)}
    finals |= {("spine", 1e-4, seed): up for seed in range(3)}
    finals |= {("spine", 1e-3, 0): up, ("spine", 1e-3, 1): down}  # seed 2 is not run there
    areas = measure_areas(experiment, group_records(make_records(experiment, finals)), "adapt")
    assert {seed: area.above for seed, area in areas["ttrl"].items()} == {0: 0.5, 1: 0.5, 2: 0.5}
    assert {seed: (area.above, area.collapsed) for seed, area in areas["spine"].items()} == {
        0: (1.0, 0.0),
        1: (0.5, 0.5),
    }
    ((title, above, collapsed),) = compare_areas(experiment, areas)
    assert (title, above.mean, above.num_seeds, collapsed.mean) == ("spine − ttrl", 0.25, 2, -0.25)


# ---- the monitor


def make_run(scores, drift_from=None, steps=40):
    """Pass@1 every 10 steps; from some step on the vote has left its first labels."""
    cell = Cell(TaskRef("arithmetic"), "ttrl", {}, 0, {"fields": {}, "evaluate_on": ["adapt"], "num_problems": 64})
    drift = [0.9 if drift_from is not None and step >= drift_from else 0.0 for step in range(1, steps + 1)]
    columns = {
        "step": [*range(1, steps + 1)],
        "vote/majority_ratio": [0.5] * steps,
        "vote/label_drift": [None, *drift[1:]],
    }
    return make_record(cell, scores, every=10, steps=columns)


def test_the_kept_step_is_the_last_evaluated_one_before_the_alarm():
    # eight steps' median: drift from step 22 on is an alarm at step 26, after the evaluation at step 20
    choice = choose_step(make_run((0.3, 0.5, 0.6, 0.2, 0.1), drift_from=22), "adapt")
    assert (choice.alarm, choice.step, choice.start, choice.chosen) == (26, 20, 0.3, 0.6)
    assert (choice.last, choice.best) == (0.1, 0.6)
    assert choice.is_safe
    assert choice.is_near_best
    silent = choose_step(make_run((0.3, 0.5, 0.6, 0.2, 0.1)), "adapt")
    assert (silent.alarm, silent.step, silent.chosen, silent.is_safe) == (None, 40, 0.1, False)
    early = choose_step(make_run((0.3, 0.28, 0.5, 0.5, 0.5), drift_from=16), "adapt")  # at step 10 there is no verdict
    assert (early.alarm, early.step, early.is_safe, early.is_near_best) == (20, 0, True, False)


def test_the_monitor_is_judged_over_runs():
    judged = judge_records([make_run((0.5, 0.3), 20), make_run((0.5, 0.3)), make_run((0.5, 0.6), 20)], "adapt")
    assert (judged.num_collapsed, judged.num_detected, judged.num_sound, judged.num_false_alarms) == (2, 1, 1, 1)


def test_the_monitor_is_judged_over_experiments(tmp_path, monkeypatch, capsys):
    runs = [make_run((0.5, 0.55, 0.3, 0.2, 0.2), 22), make_run((0.5, 0.5, 0.6)), make_run((0.5, 0.3))]
    for index, run in enumerate(runs):
        if index < 2:
            run["steps"]["vote/first_label_share"] = [0.5] * 40
        run["seed"] = index
        write_record(tmp_path / "one" / "cells" / f"{index}.json", run)
    (tmp_path / "one" / "results.md").touch()
    again = runs[1] | {"arm": "the same under another name"}
    write_record(tmp_path / "one-again" / "cells" / "0.json", again)
    write_record(tmp_path / "two" / "cells" / "0.json", runs[0] | {"run_as": "one: 0"})
    script = ROOT / "benchmarks" / "collapse_monitor.py"
    monkeypatch.setattr("sys.argv", ["collapse_monitor.py", str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    # the third has too few signals; of the first, which is found, step 20 before the alarm is kept: 0.25 are lost
    expected = "2 | 1 | 1 | 1 | 0 | 1 (50%) | 1 (50%) | 0.125 | 0.175 |"
    lines = capsys.readouterr().out.splitlines()[2:]
    again = "| one-again | 1 | 0 | 0 | 1 | 0 | 1 (100%) | 1 (100%) | 0.000 | 0.000 |"
    reused = "| two | 1 | 1 | 1 | 0 | 0 | 0 (0%) | 0 (0%) | 0.250 | 0.350 |"
    assert lines == [f"| one | {expected}", again, reused, f"| all, each run once | {expected}"]


def test_logged_steps_survive_as_columns():
    rows = [{"step": 1, "vote/reward": 0.123456, "other": 3}, {"step": 2, "vote/reward": 0.5, "vote/label_drift": 1.0}]
    columns = to_columns(rows)
    assert columns == {"step": [1, 2], "vote/reward": [0.123, 0.5], "vote/label_drift": [None, 1]}
    assert to_rows(columns) == [
        {"step": 1, "vote/reward": 0.123}, {"step": 2, "vote/reward": 0.5, "vote/label_drift": 1},
    ]  # fmt: skip


# ---- a real cell


def test_a_real_cell_of_ones_own_task(tmp_path):
    """The lab's base as a user's model, data from a file: evaluated, recorded and small."""
    from spine_rl.lab.experiments.adaptation import run_cell

    task = TASKS["arithmetic"]
    for name, split in (("train", "adapt"), ("test", "held_out")):
        problem_set = task.make_problems(split, 4)
        rows = [
            {"id": p.id, "prompt": p.prompt, "answer": problem_set.gold_answers[p.id]} for p in problem_set.problems
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = {"model": str(task.base), "data": str(tmp_path / "train.jsonl"), "eval_data": str(tmp_path / "test.jsonl")}
    fields = {"max_completion_length": 100, "num_generations": 4, "per_device_train_batch_size": 16, "use_cpu": True}
    experiment = make_experiment(
        tasks=(TaskRef("mine", own),),
        steps=2,
        num_samples=2,
        seeds=(5,),
        fields=fields,
        evaluate_on=("adapt", "held_out"),
    )
    cell = list_cells(experiment)[1]
    done = []
    record = json.loads(json.dumps(run_cell({"mine": experiment.tasks[0]}, cell, done.append)))
    assert done == [1, 2]
    assert [row["step"] for row in record["curve"]] == [0, 2]
    assert record["curve"][0]["held_out"]["n_problems"] == 4
    assert record["steps"]["step"] == [1, 2]
    assert {"vote/majority_ratio", "entropy/forks", "seconds/generate", "band/low"} <= record["steps"].keys()
    for when in ("start", "end"):
        counts = record["tokens"][when]
        assert sum(record["lengths"][when].values()) == 8
        assert 0.2 <= sum(counts["forks"]) / sum(counts["all"]) < 0.25  # ⌈0.2 T⌉ of each response
        assert sum(count for _, count, *_ in counts["texts"]) == sum(counts["all"])
    assert len(json.dumps(record)) < 15_000
    assert str(Path.home()) not in json.dumps({**record, "settings": None})

    again = run_cell({"mine": experiment.tasks[0]}, cell, done.append)  # the start is not evaluated anew
    assert _without_times(again) == _without_times(record)


def _without_times(record):
    steps = {name: values for name, values in record["steps"].items() if not name.startswith("seconds/")}
    return {**json.loads(json.dumps(record)), "steps": steps, "seconds": None, "machine": None}


# ---- kind: cost

COST = """
kind: cost
title: What it costs
arms: {ttrl: {preset: ttrl, fork_fraction: 0.2}, spine: {fork_fraction: 0.2}, spine-v2: {preset: spine-v2}}
model: {hidden: 64, layers: 1, vocabulary: 200}
batch: {prompts: 1, group_size: 2, prompt_length: 10, response_length: 20}
vary: {vocabulary: [100], fork_fraction: [1.0]}
rounds: 2
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model: {hiden: 64}", "model: unknown field 'hiden'; did you mean 'hidden'?"),
        ("model: {hidden: wide}", "model={'hidden': 'wide'}: must be a mapping: field → whole number"),
        ("vary: {fork_fraction: [2.0]}", "fork_fraction=2.0: must be in (0, 1]"),
        ("steps: 3", "unknown key 'steps'"),
        ("rounds: 0", "rounds=0: must be a whole number, at least 1"),
    ],
)
def test_mistakes_in_a_file_of_kind_cost(tmp_path, line, message):
    kept = [kept for kept in COST.strip().splitlines() if kept.partition(":")[0] != line.partition(":")[0]]
    (tmp_path / "cost.yaml").write_text("\n".join([*kept, line]))
    with pytest.raises(ConfigError) as caught:
        make_plan(tmp_path / "cost.yaml")
    assert message in str(caught.value)


@pytest.mark.slow
def test_cost_is_measured_for_every_arm(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(COST)
    plan = make_plan(path)
    cells = plan.list_cells()
    assert [cell.name for cell in cells] == ["update-middle", "update-vocabulary=100", "update-fork_fraction=1"]
    record = json.loads(json.dumps(plan.work(cells[0], lambda step: None)))
    for name in ("seconds", "mebibytes", "flops"):
        assert [*record[name]] == ["ttrl", "spine", "spine-v2"]
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in record["seconds"].values())
    # forks alone have a gradient in the head: 1 + 2·0.2 products instead of 3, of 2·40·64·200 operations each
    assert record["flops"]["ttrl"] - record["flops"]["spine"] >= 0.9 * 1.6 * 2 * 40 * 64 * 200
    assert record["parts"]["head"]["with_entropies"] > 0


def test_the_page_of_costs_sets_every_arm_beside_the_first(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(COST)
    plan = make_plan(path)
    records = [
        {
            "point": dict(cell.point),
            "settings": cell.settings,
            "parameters": 2_000_000,
            "seconds": {"ttrl": [2.0, 4.0], "spine": [1.0, 2.2]},
            "mebibytes": {"ttrl": 100.0, "spine": 50.0},
            "flops": {"ttrl": 4e9, "spine": 3e9},
            "parts": {"select": {"ttrl": 0.0, "spine": 0.001}, "head": {"log_probs": 0.01, "with_entropies": 0.015}},
            "machine": {"device": "x"},
        }
        for cell in plan.list_cells()
    ]
    plan.write(records, 3, tmp_path, "spine experiment mine")
    page = (tmp_path / "results.md").read_text()
    # by round 0.5 and 0.55: mean 0.525, deviation 0.0354, half-width 12.706 · 0.0354 / √2 = 0.318
    assert "| spine | 2.00 M | 1.600 | 0.53 ± 0.32 | 50 | 0.50 | 3.00 | 0.75 | 1.00 | 5.00 |" in page
    assert "| vocabulary 100 | ttrl |" in page
    assert (tmp_path / "cost-vocabulary.png").exists()
    assert "select_seconds" in (tmp_path / "results.csv").read_text().splitlines()[0]
