"""Runs a script as `accelerate launch` would on GPUs, on gloo and the CPU: `on_cpu.py SCRIPT ARGUMENTS`.

Accelerate takes FSDP and DeepSpeed for accelerators alone, though both run on a CPU. Two things are changed: the
backend that it finds, here, and its device, by ACCELERATE_TORCH_DEVICE=cpu. All else is as on GPUs. Where a process
still runs after SPINE_TEST_SECONDS, it says in which line each of its threads waits, and ends.
"""

import faulthandler
import os
import runpy
import sys
import threading
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType


def main() -> None:
    timer = threading.Timer(float(os.environ.get("SPINE_TEST_SECONDS", "240")), end_waiting)
    timer.daemon = True
    timer.start()
    if "LOCAL_RANK" in os.environ:
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
        if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
            from deepspeed import ops

            ops.__compatible_ops__ = {}  # to compile one takes minutes, and torch has the same
        PartialState._prepare_backend = lambda self, *args, **kwargs: ("gloo", DistributedType.MULTI_GPU)
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
    timer.cancel()


def end_waiting() -> None:
    print(f"process {os.environ.get('RANK', '0')} is not done; it waits in:", file=sys.stderr, flush=True)
    faulthandler.dump_traceback()
    os._exit(1)


if __name__ == "__main__":
    main()
