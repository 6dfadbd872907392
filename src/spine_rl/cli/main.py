"""Entry point: the commands."""

import sys
from contextlib import nullcontext

from spine_rl import __version__
from spine_rl.cli.data import data
from spine_rl.cli.diagnosis_commands import inspect, preflight
from spine_rl.cli.evaluation_commands import evaluate, transfer
from spine_rl.cli.grade import grade
from spine_rl.cli.lab_commands import bench, demo, experiment
from spine_rl.cli.last_resort import run_reported
from spine_rl.cli.methods import methods
from spine_rl.cli.parse import is_silent, make_app, parse
from spine_rl.cli.report import report
from spine_rl.cli.train_command import solve, train
from spine_rl.cli.vote import vote
from spine_rl.engine.live import LiveLine

app = make_app(name="spine", version=__version__, help="Label-free test-time reinforcement learning at forking tokens.")
app.command(evaluate, name="eval")
for each in (train, solve, transfer, preflight, inspect, report, vote, grade, data, methods, experiment, demo, bench):
    app.command(each)


def main() -> None:
    run_reported(_run)


def _run() -> None:
    call = parse(app, sys.argv[1:])
    with nullcontext() if is_silent(call) else LiveLine():
        status = call()
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
