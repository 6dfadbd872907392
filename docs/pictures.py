"""The report of two recorded runs of the lab, for the picture in docs/watching.md.

python docs/pictures.py report.html
chromium --headless --hide-scrollbars --window-size=1100,860 --screenshot=docs/images/report.png report.html

The other page's, docs/images/inspect.png (window 1100,1180), is of `spine inspect --model
src/spine_rl/lab/bases/arithmetic --data docs/chains.jsonl --limit 8 --max-completion-length 120 --out inspect.html`.
"""

import sys
from pathlib import Path

from spine_rl.lab.experiments.adaptation import to_rows
from spine_rl.lab.experiments.store import read_records
from spine_rl.monitor import RESPONSES
from spine_rl.pages import write_page
from spine_rl.pages.report import build_report
from spine_rl.pages.report_runs import Run

FOLDER = Path(__file__).parent / "results" / "stability"
CELLS = {
    "SPINE, 1e-4": "arithmetic-spine-learning_rate=0.0001-seed=0",
    "TTRL, 3e-4": "arithmetic-ttrl-learning_rate=0.0003-seed=0",
}


def load_runs() -> list[Run]:
    """As their folders would be read; a cell keeps no responses, so that there are none to show."""
    records = read_records(FOLDER)
    runs = []
    for name, cell in CELLS.items():
        settings = records[cell]["settings"]
        fields = settings["fields"]
        responses = fields["per_device_train_batch_size"] * fields["gradient_accumulation_steps"]
        steps_an_epoch = settings["num_problems"] * fields["num_generations"] / responses
        rows = [
            {**row, RESPONSES: responses, "epoch": row["step"] / steps_an_epoch}
            for row in to_rows(records[cell]["steps"])
        ]
        runs.append(Run(name, rows, {"training": {**fields, "seed": 0}}))
    return runs


if __name__ == "__main__":
    write_page(Path(sys.argv[1]), build_report(load_runs()))
