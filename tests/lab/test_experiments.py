"""Experiments: what a file may say, that no cell is run twice, and that none is lost."""

import functools
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import light_jobs
import pytest
from experiment_parts import FILE, load, make_experiment, make_record

from spine_rl.engine.progress import listening
from spine_rl.errors import ConfigError, DataError, RunFolderError
from spine_rl.lab.experiments import plan
from spine_rl.lab.experiments import run as engine
from spine_rl.lab.experiments.cells import filter_cells, list_cells
from spine_rl.lab.experiments.run import make_plan, run_experiment
from spine_rl.lab.experiments.spec import CostOutline, Experiment, list_ready
from spine_rl.lab.experiments.spec_file import build_spec
from spine_rl.lab.experiments.store import find_cell_path, load_records, pack_records, read_records, write_record
from spine_rl.lab.experiments.workers import MOST_TRIES, Failure, Job, run_local
from spine_rl.lab.options import ExperimentOptions
from spine_rl.lab.tasks import TASKS
from spine_rl.options import read_yaml


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
        ({"fields": "{learning_rate: fast}"}, "arm ttrl: learning_rate='fast': must be a valid number"),
        ({"fields": "{fork_fraction: 2.0}"}, "fork_fraction=2.0: must be in (0, 1]"),
        ({"fields": "{max_steps: 3}"}, "field 'max_steps' is not for an experiment to set: give `steps`"),
        ({"axes": "{fork_fraction: [0.1, 1.5]}"}, "fork_fraction=1.5: must be in (0, 1]"),
        ({"axes": "{fork_fraction: 0.1}"}, "axes={'fork_fraction': 0.1}: must be a mapping: field → list of values"),
        ({"axes": "{beta: [0.1]}", "vary": "{beta: [0.2]}"}, "beta stands in axes and in vary; keep one"),
        ({"tasks": "[arithmetik]"}, "task 'arithmetik': unknown; did you mean 'arithmetic'?"),
        ({"tasks": "[{name: mine, model: m}]"}, "tasks: data is missing from 'mine'; a task of your own needs one"),
        ({"tasks": "[{model: m, data: d}]"}, "tasks: name is missing; it must be text"),
        (
            {"tasks": "[{name: mine, model: m, data: d, limit: 0}]"},
            "tasks: limit=0: must be greater than or equal to 1",
        ),
        ({"tasks": "[3]"}, "tasks=[3]: must be a list of tasks' names, or of mappings"),
        ({"tasks": "[{name: mine, model: m, data: d}]"}, "task 'mine': evaluate_on has held_out, so give it eval_data"),
        ({"tasks": "[{name: mine, modell: m}]"}, "tasks: unknown key 'modell'; did you mean 'model'?"),
        ({"evaluate_on": "[adopt]"}, "unknown problem set or task 'adopt'; did you mean 'adapt'?"),
        ({"compare": "[[spine]]"}, "compare=[['spine']]: must be a list of pairs of arms"),
        ({"compare": "[[spine, trl]]"}, "there is no arm 'trl'; did you mean 'ttrl'?"),
        ({"sections": "[curve]"}, "sections=['curve']: must be a list of arms, curves,"),
        ({"sections": "[map]"}, "sections has map, so axes must be learning_rate alone"),
        ({"quick": "3"}, "quick=3: must be a mapping"),
        ({"name": "mine"}, "unknown key 'name'; an experiment has its file's"),
        ({"stepps": "3", "steps": None}, "unknown key 'stepps'; did you mean 'steps'?"),
        ({"title": "[unclosed"}, "not valid YAML"),
    ],
)
def test_mistakes_in_the_file_are_named_in_one_line(write, lines, message):
    with pytest.raises(ConfigError) as caught:
        list_cells(load(write(**lines)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "mine" in str(caught.value)


def test_a_mistake_names_its_line(write):
    path = write(steps="0")
    line = path.read_text().splitlines().index("steps: 0") + 1
    with pytest.raises(ConfigError, match=rf"mine.yaml, line {line}: steps=0"):
        load(path)


def test_a_grid_of_too_many_cells_is_refused_before_torch_is_there(tmp_path):
    grid = "{learning_rate: [" + ", ".join(f"{n}e-6" for n in range(1, 151)) + "], beta: ["
    lines = [*FILE.strip().splitlines(), "axes: " + grid + ", ".join(map(str, range(150))) + "]}"]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(lines))
    code = (
        "import sys\nfrom pathlib import Path\nfrom spine_rl.lab.experiments.run import make_plan\n"
        "try: make_plan(Path(sys.argv[1]))\n"
        "except ValueError as error: print(error, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "90,000 cells (tasks: 1, arms at their points: 45,000, seeds: 2), more than 10,000" in done.stdout
    assert done.stdout.endswith("False\n")


def test_the_quick_form_replaces_and_may_choose_arms(write):
    quick = load(write(), quick=True)
    assert (quick.seeds, quick.steps, [*quick.arms]) == ((3,), 2, ["ttrl", "spine"])
    chosen = load(write(quick="{arms: [ttrl]}"), quick=True)
    assert ([*chosen.arms], chosen.compare, chosen.seeds) == (["ttrl"], (), (0, 1))
    with pytest.raises(ConfigError, match="it has no quick form"):
        load(write(quick=None), quick=True)
    with pytest.raises(ConfigError, match="unknown arm 'trl'; did you mean 'ttrl'"):
        load(write(quick="{arms: [trl]}"), quick=True)


@pytest.mark.parametrize("name", list_ready())
def test_ready_files_are_right_in_both_forms(name):
    assert len(make_plan(list_ready()[name], quick=True).cells) <= len(make_plan(list_ready()[name]).cells)
    file = read_yaml(list_ready()[name])
    for quick in (False, True):  # as `spine experiment list` counts them, without torch
        spec = build_spec(file, CostOutline if "kind" in file.content else Experiment, quick=quick)
        plan = make_plan(list_ready()[name], quick=quick)
        assert (spec.num_cells, spec.steps, spec.title) == (len(plan.cells), plan.steps, plan.title)
    if not name.startswith("cost"):
        assert load(list_ready()[name]).seeds[:3] == (0, 1, 2)


def test_cells_are_every_combination_and_each_varied_field_alone(write):
    path = write(
        axes="{learning_rate: [1e-4, 3e-4]}",
        vary="{fork_fraction: [0.1, 0.2, 0.4]}",
        arms="{ttrl: {preset: ttrl}, oracle: {preset: oracle, allow_gold_rewards: true, learning_rate: 1e-4}}",
        compare="[]",
        seeds="[7]",
    )
    points = [(cell.identity["arm"], cell.identity["point"]) for cell in list_cells(load(path))]
    varied = [{}, {"fork_fraction": 0.1}, {"fork_fraction": 0.4}]  # 0.2 is what it is without
    assert points == [
        *[("ttrl", {"learning_rate": rate, **more}) for rate in (1e-4, 3e-4) for more in varied],
        *[("oracle", {"learning_rate": 1e-4, **more}) for more in varied],
    ]


def test_a_cells_name_is_its_own_and_says_what_it_is(write):
    alone = list_cells(load(write(arms="{'a, b/c': {preset: ttrl}}", compare="[]", seeds="[1]")))
    assert [cell.name for cell in alone] == ["arithmetic-a_b_c-seed=1"]
    with pytest.raises(ConfigError, match="two cells would be 'arithmetic-a_b-seed=0'"):
        list_cells(load(write(arms="{a b: {preset: ttrl}, 'a,b': {preset: ttrl}}", compare="[]")))
    cells = list_cells(load(write(axes="{learning_rate: [1e-4, 3.0e-5]}")))
    assert cells[3].name == "arithmetic-spine-learning_rate=3e-05-seed=0"
    assert cells[3].settings["fields"]["learning_rate"] == 3e-5
    assert cells[3].settings["fields"]["max_completion_length"] == TASKS["arithmetic"].max_new_tokens


def test_a_choice_of_cells(write):
    cells = list_cells(load(write()))
    assert filter_cells(cells, []) == cells
    assert [(c.identity["arm"], c.identity["seed"]) for c in filter_cells(cells, ["arm=ttrl,seed=1", "seed=0"])] == [
        ("ttrl", 0), ("spine", 0), ("ttrl", 1),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="'arms' is none of task, arm, seed"):
        filter_cells(cells, ["arms=ttrl"])
    with pytest.raises(ConfigError, match="seed is one of 0, 1"):
        filter_cells(cells, ["seed=2"])
    commas = list_cells(load(write(arms="{'forks, band': {}, all: {preset: ttrl}}", compare="[]")))
    assert [cell.name for cell in filter_cells(commas, ["arm=forks, band,seed=0"])] == ["arithmetic-forks_band-seed=0"]
    own_rate = "{ttrl: {preset: ttrl, learning_rate: 1e-3}, spine: {}}"
    cells = list_cells(load(write(arms=own_rate, axes="{learning_rate: [1e-4]}")))
    with pytest.raises(ConfigError, match="each of these is there, all of them together no cell"):
        filter_cells(cells, ["arm=ttrl,learning_rate=0.0001"])
    as_one_writes_it = filter_cells(cells, ["learning_rate=1e-4,seed=0"])
    assert [cell.identity["arm"] for cell in as_one_writes_it] == ["spine"]


def test_a_field_is_varied_from_what_it_is_by_preset_and_task(write):
    path = write(
        arms="{spine: {preset: spine}}",
        vary="{band: [quantile, none], per_device_train_batch_size: [32, 64]}",
        compare="[]",
        seeds="[0]",
    )
    points = [cell.identity["point"] for cell in list_cells(load(path))]
    assert points == [{}, {"band": "none"}, {"per_device_train_batch_size": 32}]  # the lab's batch has 64 rows
    assert len(make_plan(path).cells) == 3


def test_own_tasks_cells_know_their_files(tmp_path, write):
    data = tmp_path / "p.jsonl"
    own = f"{{name: mine, model: someone/model, data: {data}, eval_data: {data}}}"
    path = write(tasks=f"[{own}]")

    def get_settings(text):
        data.write_text(text)
        return list_cells(load(path))[0].settings["task"]

    before, after = get_settings('{"prompt": "a"}'), get_settings('{"prompt": "b"}')
    assert [name for name in before if before[name] != after[name]] == ["data_files", "eval_data_files"]
    assert "model_files" not in before  # of the hub
    other = "{name: other, model: m, data: d.jsonl}"
    with pytest.raises(ConfigError, match="task 'other': evaluate_on has other, so give it eval_data"):
        list_cells(load(write(tasks=f"[{own}, {other}]", evaluate_on="[adapt, other]")))


# ---- running


@pytest.fixture
def pretend(monkeypatch):
    """Runs are pretended, in this process; gives the names of those that ran. The arms in `fail` fail."""
    ran = []

    def run_cell(tasks, cell, on_step):
        ran.append(cell.name)
        on_step(1)
        return make_record(cell)

    def run_all(jobs, num_workers, logs):
        for job in jobs:
            fails = any(f"-{arm}-" in job.name for arm in run_all.failing)
            yield job, Failure("ValueError: no luck", logs / "x.log") if fails else job.run(lambda step: None)

    run_all.failing, run_all.ran = [], ran
    monkeypatch.setattr(plan, "run_cell", run_cell)
    monkeypatch.setattr(engine, "run_local", run_all)
    return run_all


def test_cells_are_run_once_and_the_rest_later(write, pretend, tmp_path, capsys):
    run_experiment(str(write()), ExperimentOptions(tmp_path / "out", only=["seed=0"]))
    assert pretend.ran == ["arithmetic-ttrl-seed=0", "arithmetic-spine-seed=0"]
    assert "2 of 4 cells are finished" in (tmp_path / "out" / "results.md").read_text()
    before = read_records(tmp_path / "out")
    for _ in range(2):
        run_experiment(str(write()), ExperimentOptions(tmp_path / "out"))
        assert pretend.ran[2:] == ["arithmetic-ttrl-seed=1", "arithmetic-spine-seed=1"]
    after = read_records(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert len(after) == 4
    assert "3/4 cells done" in capsys.readouterr().out


def test_cells_that_another_experiment_finished_are_not_run_again(write, pretend, tmp_path, spine):
    run_experiment(str(write()), ExperimentOptions(tmp_path / "first", only=["arm=ttrl"]))
    other = tmp_path / "other.yaml"
    other.write_text(write().read_text().replace("ttrl", "plain"))
    other.write_text(other.read_text().replace("preset: plain", "preset: ttrl"))
    run_experiment(str(other), ExperimentOptions(tmp_path / "second", only=["seed=0"], reuse=[tmp_path / "first"]))
    assert pretend.ran[2:] == ["arithmetic-spine-seed=0"]
    record = read_records(tmp_path / "second")["arithmetic-plain-seed=0"]
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
    cell = list_cells(load(write()))[0]
    path = find_cell_path(tmp_path, cell.name)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            write_record(tmp_path, cell.name, make_record(cell))
    assert not path.exists()
    assert load_records(tmp_path, [cell]) == {}
    write_record(tmp_path, cell.name, make_record(cell))
    assert load_records(tmp_path, [cell])[cell.name]["arm"] == "ttrl"


def test_cells_are_packed_whole_and_the_same_cells_give_the_same_bytes(write, tmp_path, monkeypatch):
    cells = list_cells(load(write()))
    tokens = {"tokens": ["\u2028", "\x85", "\n"]}  # at each of which a line of text ends
    records = {cell.name: make_record(cell) | tokens for cell in cells}
    for folder, order in (("one", cells), ("other", cells[::-1])):
        for cell in order:
            write_record(tmp_path / folder, cell.name, records[cell.name])
        if folder == "other":
            pack_records(tmp_path / folder)
            write_record(tmp_path / folder, cells[0].name, records[cells[0].name] | {"seconds": {"all": 1.0}})
            assert load_records(tmp_path / folder, cells)[cells[0].name]["seconds"] == {"all": 1.0}  # the file's
            write_record(tmp_path / folder, cells[0].name, records[cells[0].name])
        pack_records(tmp_path / folder)
        assert not (tmp_path / folder / "cells").exists()
        assert [*load_records(tmp_path / folder, cells)] == [cell.name for cell in cells]
        assert read_records(tmp_path / folder) == records
    packed = [(tmp_path / folder / "cells.jsonl.gz").read_bytes() for folder in ("one", "other")]
    assert packed[0] == packed[1]
    assert [json.loads(line)["cell"] for line in gzip.decompress(packed[0]).splitlines()] == sorted(records)

    write_record(tmp_path / "one", "more", records[cells[0].name])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pack_records(tmp_path / "one")
    assert read_records(tmp_path / "one") == dict(sorted({**records, "more": records[cells[0].name]}.items()))
    for damaged in (packed[0][:100], packed[0][:10] + b"\xff" + packed[0][11:]):  # cut off; no block of deflate
        (tmp_path / "other" / "cells.jsonl.gz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"cells.jsonl.gz: cannot be read"):
            read_records(tmp_path / "other")
    path = find_cell_path(tmp_path / "third", cells[0].name)
    write_record(tmp_path / "third", cells[0].name, records[cells[0].name])
    path.write_bytes(path.read_bytes()[:20] + b"\xff")
    with pytest.raises(DataError, match=r"json: cannot be read"):
        read_records(tmp_path / "third")


def test_cells_of_other_settings_are_not_mixed_in(write, pretend, tmp_path):
    file, options = str(write()), ExperimentOptions(tmp_path / "out", only=["arm=ttrl"])
    run_experiment(file, options)
    write(steps="6")
    with pytest.raises(RunFolderError, match=r"another steps \(4 then, 6 now\); give another --out, or remove it"):
        run_experiment(file, options)
    write(fields="{learning_rate: 1e-3}")
    with pytest.raises(RunFolderError, match=r"another learning_rate \(0.0001 then, 0.001 now\)"):
        run_experiment(file, options)
    assert len(pretend.ran) == 2
    write()
    path = find_cell_path(tmp_path / "out", pretend.ran[0])
    path.parent.mkdir()
    path.write_text(json.dumps(read_records(tmp_path / "out")[pretend.ran[0]])[:50])
    with pytest.raises(DataError, match="cannot be read"):
        run_experiment(file, options)


def make_job(title, function, **arguments):
    return Job(title, functools.partial(function, **arguments), 1)


def test_workers_run_jobs_with_one_thread_and_outlive_what_fails(tmp_path):
    jobs = [make_job(name, getattr(light_jobs, name)) for name in ("fail", "die", "report_process")]
    told = []
    with listening(lambda *telling: told.append(telling)):
        ended = [*run_local(jobs, 1, tmp_path / "logs")]
    outcomes = [(job.name, getattr(outcome, "reason", "record")) for job, outcome in ended]
    died = ("die", "its process ended with exit status 3")
    assert outcomes == [("fail", "ValueError: no such luck"), *[died] * MOST_TRIES, ("report_process", "record")]
    assert [outcome.is_tried_again for job, outcome in ended if job.name == "die"] == [True, True, False]
    log = ended[0][1].log.read_text()
    assert "said before the end" in log
    assert "Traceback" in log
    record = ended[-1][1]
    assert record["threads"] == "1"
    assert record["pid"] != os.getpid()
    assert [telling[:3] for telling in told if telling[0] == "report_process"] == [
        ("report_process", 0, 1), ("report_process", 1, 1), ("report_process", 1, 1),
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["die.log", "fail.log"]


def test_a_lost_workers_job_is_run_again(tmp_path):
    jobs = [make_job("lost", light_jobs.die_once, folder=tmp_path), make_job("other", light_jobs.report_process)]
    ended = [(job.name, outcome) for job, outcome in run_local(jobs, 1, tmp_path / "logs")]
    assert [name for name, _ in ended] == ["lost", "lost", "other"]
    reason = "its process ended with exit status -9, as where memory runs out: fewer --jobs need less"
    assert (ended[0][1].reason, ended[0][1].is_tried_again) == (reason, True)
    assert ended[1][1]["pid"] == ended[2][1]["pid"]  # a new process, kept for what follows


def test_workers_run_jobs_side_by_side(tmp_path):
    jobs = [make_job(name, light_jobs.wait_for_another, folder=tmp_path, name=name) for name in "ab"]
    ended = [outcome for _, outcome in run_local(jobs, 2, tmp_path / "logs")]
    assert len({record["pid"] for record in ended}) == 2


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_every_process_ends_with_the_command_however_that_ends(tmp_path, number):
    code = (
        "import functools, signal, sys\nfrom pathlib import Path\nimport light_jobs\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "from spine_rl.lab.experiments.workers import Job, run_local\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1])\n"
        "    job = Job('long', functools.partial(light_jobs.wait_for_ever, folder=folder), 1)\n"
        "    [*run_local([job], 1, folder)]\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, script, tmp_path], env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while not (tmp_path / "pid").exists() and time.monotonic() < until:
        time.sleep(0.1)
    worker = int((tmp_path / "pid").read_text())
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in said
        assert "leaked" not in said
    until = time.monotonic() + 20
    left = {worker, *map(int, children)}  # the manager of the queue, too
    while any(map(is_running, left)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(is_running, left))


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
    own = {"name": "mine", "model": str(task.base)}
    own |= {"data": str(tmp_path / "train.jsonl"), "eval_data": str(tmp_path / "test.jsonl")}
    fields = {"max_completion_length": 100, "num_generations": 4, "per_device_train_batch_size": 16, "use_cpu": True}
    experiment = make_experiment(
        tasks=[own],
        steps=2,
        num_samples=2,
        seeds=[5],
        fields=fields,
        evaluate_on=["adapt", "held_out"],
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
