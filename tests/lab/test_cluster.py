"""Experiments on a Ray cluster: a real one on this machine. What runs there is what runs in local processes."""

import os
import sys
import time
from pathlib import Path

import light_jobs
import pytest
from test_experiments import make_job

from spine_rl.engine.progress import listening
from spine_rl.errors import ConfigError
from spine_rl.lab.experiments.cluster import check_place, run_on_ray


@pytest.mark.parametrize("on", ["Ray", "here", "ray://", "http://a:1"])
def test_what_is_no_place_is_refused(on):
    with pytest.raises(ConfigError, match="must be local, ray, or ray://HOST:PORT"):
        check_place(on)


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'spine-rl\[ray\]'"):
        check_place("ray")
    check_place("local")


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)  # of the workers
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 << 20)
        yield ray
        ray.shutdown()


@pytest.mark.clusters
@pytest.mark.slow
def test_jobs_run_side_by_side_and_outlive_what_fails_or_is_lost(cluster, tmp_path, monkeypatch):
    """A task each: one fails, one kills its process always, one the first time, two wait for each other."""
    monkeypatch.setattr("spine_rl.lab.experiments.cluster.MOST_TRIES", 2)
    jobs = [make_job(name, getattr(light_jobs, name)) for name in ("fail", "die", "report_process")]
    jobs.insert(2, make_job("die_once", light_jobs.die_once, folder=tmp_path))
    jobs += [make_job(name, light_jobs.wait_for_another, folder=tmp_path, name=name) for name in "ab"]
    told, outcomes = [], {}
    with listening(lambda *telling: told.append(telling)):
        for job, outcome in run_on_ray("ray", jobs, None, tmp_path / "logs"):
            outcomes.setdefault(job.name, []).append(outcome)
    (failed,) = outcomes["fail"]
    assert failed.reason == "ValueError: no such luck"
    assert not failed.is_tried_again
    log = failed.log.read_text()
    assert "said before the end" in log
    assert "Traceback" in log
    assert [failure.is_tried_again for failure in outcomes["die"]] == [True, False]
    lost, record = outcomes["die_once"]
    assert (lost.reason, lost.is_tried_again) == ("its worker was lost: WorkerCrashedError", True)
    assert "pid" in record
    (record,) = outcomes["report_process"]
    assert record["threads"] == "1"
    assert len({record["pid"], *(outcomes[name][0]["pid"] for name in "ab"), os.getpid()}) == 4
    assert ("report_process", 1, 1, "steps") in told
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["die.log", "die_once.log", "fail.log"]


@pytest.mark.clusters
@pytest.mark.slow
def test_what_runs_is_cancelled_when_it_is_left(cluster, tmp_path):
    jobs = [make_job("long", light_jobs.wait_for_ever, folder=tmp_path), make_job("short", light_jobs.report_process)]
    outcomes = run_on_ray("ray", jobs, 2, tmp_path / "logs")
    job, _ = next(outcomes)
    assert job.name == "short"
    wait_until((tmp_path / "pid").exists)
    outcomes.close()
    worker = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(worker))


def wait_until(holds, seconds=60):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.clusters
@pytest.mark.slow
def test_an_experiments_cells_are_as_in_local_processes(cluster, tmp_path, spine):
    """The same cell of a tiny experiment by both, through the command: the same record but for time and machine."""
    from spine_rl.lab.experiments.store import read_records

    file = tmp_path / "tiny.yaml"
    file.write_text(
        "title: T\ntasks: [arithmetic]\nseeds: [0]\nsteps: 1\nevaluate_every: 1\nnum_problems: 4\nnum_samples: 2\n"
        "fields: {num_generations: 2, per_device_train_batch_size: 4, gradient_accumulation_steps: 1, "
        "max_completion_length: 8}\narms: {spine: {preset: spine}}\nsections: []\n"
    )
    for place in ("local", "ray"):
        assert spine("experiment", file, "--on", place, "--out", tmp_path / place)[0] == 0
    one, other = (read_records(tmp_path / place) for place in ("local", "ray"))
    assert one.keys() == other.keys() == {"arithmetic-spine-seed=0"}
    (one,), (other,) = one.values(), other.values()
    assert one["curve"] == other["curve"]
    assert one["settings"] == other["settings"]
    assert one["lengths"] == other["lengths"]
