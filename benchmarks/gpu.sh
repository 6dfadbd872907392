#!/bin/sh
# What a GPU has of its own, in at most eight minutes: its tests, and `spine bench` on a random model of a real size.
#
#     benchmarks/gpu.sh OUT
#
# OUT is a new folder. PYTHON (default python3) has torch with CUDA, this package's dependencies and pytest; the package
# is taken from this checkout. SIZE (default qwen2.5-0.5b) is one of `spine bench --size`, QUICK=1 makes less of
# everything; SIZE=7m QUICK=1 runs it on a CPU, where the tests are skipped. The table comes last.
set -u
python=${PYTHON:-python3} out=$1 size=${SIZE:-qwen2.5-0.5b}
cd "$(dirname "$0")/.."
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv 2>/dev/null | tee "$out/gpu.csv"
failed=0
timeout 200 "$python" -m pytest tests/engine/test_gpu.py >"$out/tests.txt" 2>&1 || failed=1
tail -n 15 "$out/tests.txt"
timeout 275 "$python" -m spine_rl.lab.bench.gpu "$size" "${QUICK:-0}" "$out/bench" || failed=1
exit $failed
