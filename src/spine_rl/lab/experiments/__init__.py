"""Experiments as files: tasks × arms × settings × seeds from one YAML file, resumable, with tables, plots and a page.

One idea a file, in the order of use: `spec_file` and `spec` (the file), `fields` (its settings), `cells`, `tasks`;
`plan`, `workers`, `adaptation` (one cell), `store` (its record), `run`; then `frame` (all records as one table),
`tables`, `stability` and `monitoring` (what it says), `sections` and `page` (what shows it). `cost` and `cost_page` are
the other kind of experiment.
"""
