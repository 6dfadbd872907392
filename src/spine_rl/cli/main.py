"""Entry point: the commands."""

import sys

from spine_rl import __version__
from spine_rl.cli import commands, diagnosis_commands, evaluation_commands, lab_commands, train_command
from spine_rl.cli.last_resort import run_reported
from spine_rl.cli.parse import make_app, parse
from spine_rl.engine.live import LiveLine

app = make_app(name="spine", version=__version__, help="Label-free test-time reinforcement learning at forking tokens.")
for module in (train_command, evaluation_commands, diagnosis_commands, commands, lab_commands):
    module.add_commands(app)


def main() -> None:
    run_reported(_run)


def _run() -> None:
    call = parse(app, sys.argv[1:])
    with LiveLine():
        status = call()
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
