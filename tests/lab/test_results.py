"""Results of experiments: tables, pictures and pages say what the cells do, and so does the monitor's judgement."""

import csv
import json
import runpy

import pandas as pd
import pytest
from experiment_parts import make_experiment, make_record, make_results

from paths import ROOT
from spine_rl.errors import ConfigError
from spine_rl.evaluation.formats import render_table
from spine_rl.evaluation.statistics import estimate
from spine_rl.lab.experiments.adaptation import to_columns, to_rows
from spine_rl.lab.experiments.cells import Cell
from spine_rl.lab.experiments.markdown import quote
from spine_rl.lab.experiments.monitoring import count_judged, judge_records
from spine_rl.lab.experiments.page import write_results
from spine_rl.lab.experiments.run import make_plan
from spine_rl.lab.experiments.sections import find_percentile
from spine_rl.lab.experiments.stability import measure_areas, measure_runs, tabulate_areas
from spine_rl.lab.experiments.store import pack_records, write_record
from spine_rl.lab.experiments.tables import tabulate_differences, tabulate_fall
from spine_rl.lab.plots import draw_varied


def get_row(table, label):
    """A row's estimates by their head."""
    return next(row for labels, row in table.rows if labels == (label,))


def test_estimates_are_students():
    # mean 2, standard deviation 1, three seeds: 4.303 / √3
    value = estimate([1.0, 2.0, 3.0], is_difference=True)
    assert (value.mean, value.half, value.num_seeds) == (2.0, pytest.approx(2.484, abs=1e-3), 3)
    assert estimate([1.0, 3.0]).half == pytest.approx(12.706, abs=1e-3)  # 12.706 · √2 / √2
    assert estimate([5.0]).half is None
    assert estimate([5.0]).describe() == "5.000"
    assert value.describe() == "+2.000 ± 2.484"


def test_differences_are_paired_by_seed():
    """TTRL 0.2, 0.3, 0.4 and SPINE 0.4, 0.5, 0.6: by seed always 0.2, though each interval alone is ± 0.248."""
    finals = {("ttrl", seed): (0.1, 0.5, 0.2 + seed / 10) for seed in range(3)}
    finals |= {("spine", seed): (0.1, 0.5, 0.4 + seed / 10) for seed in range(3)}
    results = make_results(make_experiment(), finals)
    table = tabulate_differences(results, "arithmetic")
    assert [labels for labels, _ in table.rows] == [("spine − ttrl",)]
    row = get_row(table, "spine − ttrl")
    assert set(row) == {f"{name}, {where}" for name in ("greedy Pass@1", "Pass@1") for where in ("adapt", "held_out")}
    assert all(each.mean == pytest.approx(0.2) for each in row.values())
    assert all(each.half == pytest.approx(0.0, abs=1e-9) for each in row.values())
    fall = get_row(tabulate_fall(results, "arithmetic"), "ttrl")
    assert (fall["Pass@1, best"].mean, fall["Pass@1, best"].half) == (0.5, 0.0)
    assert fall["Pass@1, fall"].mean == pytest.approx(0.2)
    assert fall["Pass@1, fall"].half == pytest.approx(0.248, abs=1e-3)


def test_only_seeds_of_both_arms_are_compared():
    finals = {("ttrl", 0): (0.1, 0.2), ("spine", 0): (0.1, 0.5), ("spine", 1): (0.1, 0.9)}
    table = tabulate_differences(make_results(make_experiment(), finals), "arithmetic")
    value = get_row(table, "spine − ttrl")["Pass@1, adapt"]
    assert (value.mean, value.half, value.num_seeds) == (pytest.approx(0.3), None, 1)


def test_each_arm_is_compared_at_its_own_best_point_too():
    experiment = make_experiment(axes={"learning_rate": [1e-4, 1e-3]}, seeds=[0])
    finals = {("ttrl", 1e-4, 0): (0.1, 0.6), ("ttrl", 1e-3, 0): (0.1, 0.0)}
    finals |= {("spine", 1e-4, 0): (0.1, 0.5), ("spine", 1e-3, 0): (0.1, 0.7)}
    table = tabulate_differences(make_results(experiment, finals), "arithmetic")
    assert {labels[0]: row["Pass@1, adapt"].mean for labels, row in table.rows} == {
        "spine − ttrl, learning_rate 0.0001": pytest.approx(-0.1),
        "spine − ttrl, learning_rate 0.001": pytest.approx(0.7),
        "each at its best: spine, learning_rate 0.001 − ttrl, learning_rate 0.0001": pytest.approx(0.1),
    }


def test_tidy_rows(tmp_path):
    experiment = make_experiment(axes={"learning_rate": [1e-4]}, seeds=[0], evaluate_on=["adapt"], sections=[])
    results = make_results(experiment, {("ttrl", 1e-4, 0): (0.1, 0.6), ("spine", 1e-4, 0): (0.1, 0.7)})
    write_results(experiment, results.records, 2, tmp_path, "c")
    with (tmp_path / "results.csv").open() as file:
        table = [*csv.DictReader(file)]
    assert [(row["arm"], row["learning_rate"], row["seed"], row["step"], row["pass@1"]) for row in table] == [
        ("ttrl", "0.0001", "0", "0", "0.1"),
        ("ttrl", "0.0001", "0", "2", "0.6"),
        ("spine", "0.0001", "0", "0", "0.1"),
        ("spine", "0.0001", "0", "2", "0.7"),
    ]


FINDINGS = """# An older page

<!-- findings: what you write here stays when the page is written anew -->

It **works**.

<!-- end of findings -->
"""


def test_the_page_is_made_from_the_cells_and_keeps_findings(tmp_path):
    sections = ["arms", "curves", "lengths", "entropies", "phases", "map", "transfer", "monitor"]
    experiment = make_experiment(axes={"learning_rate": [1e-4, 1e-3]}, sections=sections, seeds=[0, 1])
    finals = {(arm, rate, seed): (0.2, 0.4) for arm in experiment.arms for rate in (1e-4, 1e-3) for seed in (0, 1)}
    del finals["spine", 1e-3, 1]
    results = make_results(experiment, finals)
    (tmp_path / "results.md").write_text(FINDINGS)
    write_results(experiment, results.records, 8, tmp_path, "spine experiment mine --out x")
    page = (tmp_path / "results.md").read_text()
    assert "7 of 8 cells are finished" in page
    assert "-->\n\nIt **works**.\n\n<!--" in page
    assert "older page" not in page
    assert "| ttrl, learning_rate 0.0001 | 0.400 ± 0.000 | 0.400 ± 0.000 |" in page
    assert "| `<b>\\|\\x60` | 4 | 25% | 0.500 |" in page  # of the last group, which has one seed
    assert "| ttrl | 1.000 ± 0.000 | 0.000 ± 0.000 | 2 |" in page  # the map: both rates, both seeds
    assert "| spine | 1.000 | 0.000 | 1 |" in page
    assert "| arithmetic | ttrl, learning_rate 0.0001 | +0.200 ± 0.000 | +0.200 ± 0.000 | 2 |" in page  # transfer
    assert "| ttrl, learning_rate 0.0001 | 0.200 | 0.200 | 0.200 | 0.200 | 0.200 | 1.000 |" in page
    for name in ("arms", "curves", "lengths", "entropies", "map"):
        assert f"({name}.png)" in page
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["cells"] == {"finished": 7, "all": 8}
    assert len(content["machines"]) == 1  # dates apart, they are one
    shares = content["tables"]["arithmetic: the map of learning rate × steps"][0]
    assert (shares["row"], shares["above its start"]) == ("ttrl", {"mean": 1.0, "half_width": 0.0, "seeds": 2})
    assert len(content["monitor"]) == 7


def test_varied_fields_are_drawn_and_the_same_cells_give_the_same_bytes(tmp_path):
    experiment = make_experiment(vary={"fork_fraction": [0.1, 0.4]}, seeds=[0], sections=[])
    records = make_results(experiment).records
    written = []
    for _ in range(2):
        write_results(experiment, records, len(records), tmp_path, "c")
        written.append([(tmp_path / name).read_bytes() for name in ("results.md", "varied.svg")])
    assert written[0] == written[1]
    assert b"| spine, fork_fraction 0.1 \xe2\x88\x92 spine | +0.000 |" in written[0][0]


def test_varied_fields_have_a_row_of_panels_a_point_of_the_axes(tmp_path):
    experiment = make_experiment(
        vary={"num_votes": [16, 32]}, axes={"learning_rate": [1e-4, 1e-3]}, seeds=[0], sections=["curves", "map"]
    )
    results = make_results(experiment)
    figure = draw_varied(results)
    panels = [axes for axes in figure.axes if axes.has_data()]
    assert [axes.get_title() for axes in panels] == [
        "num_votes\nlearning_rate 0.0001", "num_votes\nlearning_rate 0.001",
    ]  # fmt: skip
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["16", "32", "None"]
    varied = [record for record in results.records if "num_votes" in record["point"]]
    write_results(experiment, varied, 12, tmp_path, "c")  # neither curves nor a map without the arm as it is
    assert "## Curves" not in (tmp_path / "results.md").read_text()


def test_several_tasks_are_told_apart_in_tables_and_pictures(tmp_path):
    experiment = make_experiment(tasks=["words", "arithmetic"], sections=["lengths", "curves", "arms"], seeds=[0])
    results = make_results(experiment)
    write_results(experiment, results.records, 4, tmp_path, "c")
    page = (tmp_path / "results.md").read_text()
    assert page.index("## words: after the last step, on adapt") < page.index("## arithmetic: after the last step")
    svg = (tmp_path / "lengths.svg").read_text()
    assert all(f">{task}, {arm}<" in svg for task in ("words", "arithmetic") for arm in ("ttrl", "spine"))


def test_an_own_tasks_name_is_no_path(tmp_path):
    experiment = make_experiment(sections=["lengths"], seeds=[0])
    records = [record | {"task": "../a b"} for record in make_results(experiment).records]
    (tmp_path / "out").mkdir()
    write_results(experiment, records, 2, tmp_path / "out", "c")
    assert "## ../a b: response lengths" in (tmp_path / "out" / "results.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_markdown_shows_text_as_text():
    assert quote("a`b\n\\") == "`a\\x60b\\x0a\\`"
    assert render_table(["a"], [["x|y"]]).splitlines()[-1] == "| x\\|y |"


def test_percentiles_of_counted_lengths():
    counts = pd.Series({10: 1, 20: 8, 90: 1})
    assert [find_percentile(counts, percent) for percent in (10, 50, 90, 91)] == [10, 20, 20, 90]


# ---- the map


def test_area_of_a_run():
    """Start 0.5; above it for steps 1-10 of 40, at it for 11-20 (not above), collapsed for 21-40."""
    curves = pd.DataFrame({0: [0.5, 0.5], 10: [0.6, 0.45], 20: [0.5, 0.45], 40: [0.4, 0.45]})
    shares = measure_runs(curves)
    assert [*shares["above its start"]] == [0.25, 0.0]
    assert [*shares["collapsed (10 points below)"]] == [0.5, 0.0]


def test_area_of_the_map_is_paired_by_seed_and_needs_every_rate():
    experiment = make_experiment(axes={"learning_rate": [1e-4, 1e-3]}, seeds=[0, 1, 2], evaluate_on=["adapt"])
    up, down = (0.3, 0.5), (0.3, 0.1)
    finals = {("ttrl", 1e-4, seed): up for seed in range(3)} | {("ttrl", 1e-3, seed): down for seed in range(3)}
    finals |= {("spine", 1e-4, seed): up for seed in range(3)}
    finals |= {("spine", 1e-3, 0): up, ("spine", 1e-3, 1): down}  # seed 2 is not run there
    results = make_results(experiment, finals)
    areas = measure_areas(results, "arithmetic")
    assert areas["ttrl"]["above its start"].to_dict() == {0: 0.5, 1: 0.5, 2: 0.5}
    assert areas["spine"].to_dict("split")["data"] == [[1.0, 0.0], [0.5, 0.5]]
    row = get_row(tabulate_areas(results, "arithmetic"), "spine − ttrl")
    above, collapsed = row.values()
    assert (above.mean, above.num_seeds, collapsed.mean) == (0.25, 2, -0.25)


# ---- the monitor


def make_run(scores, lost_from=None, steps=40):
    """Pass@1 every 10 steps; from some step on few responses give the first labels. An epoch has 4 steps."""
    identity = {"task": "arithmetic", "arm": "ttrl", "point": {}, "seed": 0}
    fields = {"per_device_train_batch_size": 64, "gradient_accumulation_steps": 1}
    cell = Cell("x", identity, {"fields": fields, "evaluate_on": ["adapt"], "num_problems": 32})
    share = [0.1 if lost_from is not None and step >= lost_from else 0.5 for step in range(1, steps + 1)]
    columns = {
        "step": [*range(1, steps + 1)],
        "vote/majority_ratio": [0.5] * steps,
        "vote/first_label_share": share,
    }
    return make_record(cell, scores, every=10, steps=columns)


def judge(run):
    """The one row of a run."""
    return judge_records([run]).iloc[0]


def test_the_kept_step_is_the_last_evaluated_one_before_the_alarm():
    # an epoch's mean: what falls from step 22 on is an alarm at step 25, after the evaluation at step 20
    choice = judge(make_run((0.3, 0.5, 0.6, 0.2, 0.1), lost_from=22))
    assert (choice.alarm, choice.step, choice.start, choice.kept) == (25, 20, 0.3, 0.6)
    assert (choice["last"], choice.best) == (0.1, 0.6)
    assert choice.is_safe
    assert choice.is_near_best
    silent = judge(make_run((0.3, 0.5, 0.6, 0.2, 0.1)))
    assert (silent.alarm, silent.step, silent.kept, silent.is_safe) == (None, 40, 0.1, False)
    early = judge(make_run((0.3, 0.28, 0.5, 0.5, 0.5), lost_from=8))  # nothing could be compared: the start
    assert (early.alarm, early.step, early.is_safe, early.is_near_best) == (11, 0, True, False)


def test_the_monitor_is_judged_over_runs():
    judged = judge_records([make_run((0.5, 0.3), 20), make_run((0.5, 0.3)), make_run((0.5, 0.6), 20)])
    assert count_judged(judged) == {"num_collapsed": 2, "num_detected": 1, "num_sound": 1, "num_false_alarms": 1}


def test_the_monitor_is_not_judged_where_gold_trains_or_something_is_done_about_alarms():
    runs = [make_run((0.5, 0.3)) for _ in range(3)]
    runs[1]["settings"] = runs[1]["settings"] | {"fields": {"allow_gold_rewards": True}}
    runs[2]["settings"] = runs[2]["settings"] | {"fields": {"on_collapse": "retry"}}
    assert len(judge_records(runs)) == 1


def test_the_monitor_is_judged_over_experiments(tmp_path, monkeypatch, capsys):
    runs = [make_run((0.5, 0.55, 0.3, 0.2, 0.2), 22), make_run((0.5, 0.5, 0.6)), make_run((0.5, 0.3))]
    del runs[2]["steps"]["vote/first_label_share"]
    for index, run in enumerate(runs):
        run["seed"] = index
        write_record(tmp_path / "one", str(index), run)
    (tmp_path / "one" / "results.md").touch()
    again = runs[1] | {"arm": "the same under another name"}
    write_record(tmp_path / "one-again", "0", again)
    pack_records(tmp_path / "one-again")
    write_record(tmp_path / "two", "0", runs[0] | {"run_as": "one: 0"})
    script = ROOT / "benchmarks" / "collapse_monitor.py"
    monkeypatch.setattr("sys.argv", ["collapse_monitor.py", str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    # the third has too few signals; of the first, which is found, step 20 before the alarm is kept: 0.25 are lost
    expected = "2 | 1 | 1 | 1 | 0 | 1 (50%) | 1 (50%) | 0.125 | 0.175 |"
    lines = capsys.readouterr().out.splitlines()[2:]
    again = "| one-again | 1 | 0 | 0 | 1 | 0 | 1 (100%) | 1 (100%) | 0.000 | 0.000 |"
    reused = "| two | 1 | 1 | 1 | 0 | 0 | 0 (0%) | 0 (0%) | 0.250 | 0.350 |"
    halves = [
        "| the half that thresholds were found on | 1 | 0 | 0 | 1 | 0 | 1 (100%) | 1 (100%) | 0.000 | 0.000 |",
        "| **the other half** | 1 | 1 | 1 | 0 | 0 | 0 (0%) | 0 (0%) | 0.250 | 0.350 |",
    ]
    assert lines == [f"| one | {expected}", again, reused, *halves, f"| all, each run once | {expected}"]


def test_logged_steps_survive_as_columns():
    rows = [{"step": 1, "vote/reward": 0.123456, "other": 3}, {"step": 2, "vote/reward": 0.5, "vote/label_drift": 1.0}]
    columns = to_columns(rows)
    assert columns == {"step": [1, 2], "vote/reward": [0.123, 0.5], "vote/label_drift": [None, 1]}
    assert to_rows(columns) == [
        {"step": 1, "vote/reward": 0.123}, {"step": 2, "vote/reward": 0.5, "vote/label_drift": 1},
    ]  # fmt: skip


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
        ("model: {hiden: 64}", "model: unknown key 'hiden'; did you mean 'hidden'?"),
        ("model: {hidden: wide}", "model: hidden='wide': must be a valid integer"),
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
    cells = plan.cells
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
            **cell.identity,
            "settings": cell.settings,
            "parameters": 2_000_000,
            "seconds": {"ttrl": [2.0, 4.0], "spine": [1.0, 2.2]},
            "mebibytes": {"ttrl": 100.0, "spine": 50.0},
            "flops": {"ttrl": 4e9, "spine": 3e9},
            "parts": {"select": {"ttrl": 0.0, "spine": 0.001}, "head": {"log_probs": 0.01, "with_entropies": 0.015}},
            "machine": {"device": "x"},
        }
        for cell in plan.cells
    ]
    plan.write(records, 3, tmp_path, "spine experiment mine")
    page = (tmp_path / "results.md").read_text()
    # by round 0.5 and 0.55: mean 0.525, deviation 0.0354, half-width 12.706 · 0.0354 / √2 = 0.318
    assert "| spine | 2.00 M | 1.600 | 0.53 ± 0.32 | 50 | 0.50 | 3.00 | 0.75 | 1.00 | 5.00 |" in page
    assert "| vocabulary 100 | ttrl |" in page
    assert (tmp_path / "cost.png").exists()
    assert "select_seconds" in (tmp_path / "results.csv").read_text().splitlines()[0]
