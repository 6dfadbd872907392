"""Experiments as files: tasks × arms × settings × seeds from one YAML file, resumable, with tables, plots and a page.

One idea a file, in the order of use: `spec` (the file), `fields` (its settings), `cells`, `tasks`, `adaptation` (one
cell), `workers`, `run`; `tables`, `stability` and `monitoring` read the finished cells, `plots` and `page` show them.
"""
