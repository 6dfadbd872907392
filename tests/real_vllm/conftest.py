"""For a vLLM that runs on the CPU: little memory for caches, and no core of its own; no other test is touched."""

import os
from importlib.util import find_spec

if find_spec("vllm") is not None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # to compile what little is run takes minutes
