"""Benchmarks by name; each is how a row is read, and an entry of a table."""

import difflib
from pathlib import Path

from spine_rl.errors import DataError
from spine_rl.problems.benchmarks import mathematics, pictures, subjects
from spine_rl.problems.benchmarks.benchmark import Benchmark, load
from spine_rl.problems.images import ImageOptions
from spine_rl.problems.problem import ProblemSet

_MODULES = (mathematics, subjects, pictures)
BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for module in _MODULES for benchmark in module.BENCHMARKS}

__all__ = ["BENCHMARKS", "Benchmark", "get_benchmark", "load_benchmark", "split_benchmark_source"]


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        DataError: There is none; with the nearest name.
    """
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(BENCHMARKS)}"
        raise DataError(f"unknown benchmark {name!r}; {hint}")
    return BENCHMARKS[name]


def split_benchmark_source(source: str) -> tuple[str | None, str | None]:
    """`NAME` or `NAME=PATH` to name and path; (None, None) for a file that is here, or what names no benchmark.

    Raises:
        DataError: `NAME=PATH` with a name that is not known, or a bare name that is nearly one.
    """
    if Path(source).exists():
        return None, None
    name, equals, path = source.partition("=")
    if name in BENCHMARKS:
        return name, path or None
    if (equals and "/" not in name) or (
        "/" not in source and "." not in source and difflib.get_close_matches(source.lower(), BENCHMARKS, n=1)
    ):
        get_benchmark(name)
    return None, None


def load_benchmark(
    name: str,
    copy: str | None = None,
    *,
    with_gold: bool,
    limit: int | None = None,
    images: ImageOptions = ImageOptions(),
) -> ProblemSet:
    """The problems of a benchmark; see `spine_rl.problems.benchmarks.benchmark.load`."""
    return load(get_benchmark(name), copy, with_gold=with_gold, limit=limit, images=images)
