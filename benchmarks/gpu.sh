#!/bin/sh
# Tests, then `spine bench` on random models of real sizes, on a machine with a GPU and no network.
#
#     benchmarks/gpu.sh WHEELS OUT
#
# WHEELS holds wheels of this project's dependencies but torch, which the machine brings (`pip download`); OUT is a new
# folder. This script has not been run yet: no machine with a GPU was at hand.
set -eu
wheels=$1 out=$2
python -m venv --system-site-packages "$out/venv"
"$out/venv/bin/pip" install --quiet --no-index --find-links "$wheels" --editable '.[dev]'
export HF_HUB_OFFLINE=1
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$out/gpu.csv"
"$out/venv/bin/pytest" tests/test_sharing.py tests/test_objective.py
for size in qwen2.5-0.5b qwen2.5-1.5b; do
    "$out/venv/bin/spine" bench --size "$size" --out "$out/$size" | tee "$out/$size.txt"
done
