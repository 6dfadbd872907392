"""Reports of runs: folders in, one HTML page and charts out."""

from spine_rl.report.page import build_report, save_plots
from spine_rl.report.runs import Run, group_runs, load_run

__all__ = ["Run", "build_report", "group_runs", "load_run", "save_plots"]
