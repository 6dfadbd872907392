#!/bin/sh
# What a GPU has of its own: its tests, `spine bench` on random models of real sizes, and the experiment `cost-gpu`.
#
#     benchmarks/gpu.sh OUT
#
# OUT is a new folder. PYTHON (default python3) has torch with CUDA, this package's dependencies and pytest; the package
# is taken from this checkout. The sizes are for a GPU with 80 GB. It has not been run to its end (docs/results/gpu).
set -u
python=${PYTHON:-python3} out=$1
cd "$(dirname "$0")/.."
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$out/gpu.csv"
failed=0
"$python" -m pytest tests/engine/test_gpu.py >"$out/tests.txt" 2>&1 || failed=1
tail -n 15 "$out/tests.txt"
"$python" -m spine_rl.cli.main bench --size qwen2.5-0.5b --prompts 4 --out "$out/qwen2.5-0.5b" || failed=1
"$python" -m spine_rl.cli.main bench --size qwen2.5-1.5b --out "$out/qwen2.5-1.5b" || failed=1
"$python" -m spine_rl.cli.main experiment cost-gpu --out "$out/cost-gpu" || failed=1
exit $failed
