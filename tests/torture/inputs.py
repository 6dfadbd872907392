"""Bad inputs over all commands: one line and exit status 2 (or what is read all the same), and nothing is overwritten.

Every case is a file or option that is wrong in one way. What is not refused is run as small as can be.
"""

import json
import random
import shutil

from torture import children, runs
from torture.bad import BAD_DATA, BAD_FILES, BAD_MODELS, BAD_OPTIONS, GARBAGE

SMALL = ("--max-completion-length=4", "--num-generations=2")
LIMIT = 180.0  # seconds, on a machine that does other work beside


def torture(work, count, seed=0):
    """Counts over `count` bad inputs, and what went wrong, a line each."""
    _prepare(work)
    cases = list(_list_cases(work))
    draw = random.Random(seed)
    draw.shuffle(cases)
    while len(cases) < count:
        cases.append(_make_fuzz(work, draw, len(cases)))
    counts = {"inputs": 0, "one line": 0, "read all the same": 0, "tracebacks": 0, "hangs": 0, "overwritten": 0}
    wrong = []
    for name, command in cases[:count]:
        before = _read_all(work)
        status, printed = children.run(command, work.parent / "log", work, limit=LIMIT)
        lines = [line for line in printed.splitlines() if line.startswith("spine: ")]
        is_traceback = "Traceback" in printed or "a defect of spine" in printed or status == 99
        counts["inputs"] += 1
        counts["hangs"] += status is None
        counts["tracebacks"] += is_traceback
        after = _read_all(work)
        lost = [path for path, content in before.items() if after.get(path) != content]
        counts["overwritten"] += bool(lost)
        good = status == 0 or (status == 2 and len(lines) == 1)
        counts["one line" if status == 2 else "read all the same"] += good and not is_traceback
        if lost or is_traceback or not good:
            wrong.append(f"{name}: {' '.join(map(str, command))}: status {status}, lost {lost}; {printed[-500:]}")
        for out in ("out", "out.html", "out.json"):
            _remove(work / out)
    return counts, wrong


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read_all(work):
    """What tells whether a file was touched, of everything but outputs; locks come and go."""
    files = [path for path in work.rglob("*") if path.is_file() and not path.name.startswith(".spine.")]
    kept = [path for path in files if path.relative_to(work).parts[0].partition(".")[0] != "out"]
    return {path: (path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns) for path in kept}


def _prepare(work):
    """Good ones of everything."""
    runs.write_problems(work / "good.jsonl", 4)
    rows = [{"id": f"p{i}", "completion": f"so {i}"} for i in range(4)]
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(runs.BASE, work / "model")
    data, log = work / "good.jsonl", work.parent / "log"
    run = ["train", f"--model={runs.BASE}", f"--data={data}", f"--output_dir={work / 'run'}", "--max_steps=1"]
    run += ["--per_device_train_batch_size=4", "--num_generations=2", "--max_completion_length=4", "--use_cpu"]
    evaluation = ["eval", f"--model={runs.BASE}", f"--data={data}", f"--out={work / 'evaluation'}", *SMALL]
    for command in ([*run, "--report_to=none"], evaluation):
        status, printed = children.run(command, log, work)
        assert status == 0, printed


def _list_cases(work):
    yield from _list_bad_data(work)
    yield from _list_bad_models(work)
    yield from _list_bad_options(work)
    yield from _list_bad_folders(work)
    yield from _list_bad_files(work)
    yield from _list_overwrites(work)


# ---- data


def _use_data(work, path):
    """Every command that reads problems."""
    model = f"--model={runs.BASE}"
    yield "train", ["train", model, f"--data={path}", f"--output_dir={work / 'out'}", *_tiny()]
    yield "eval", ["eval", model, f"--data={path}", *SMALL]
    yield "preflight", ["preflight", model, f"--data={path}", *SMALL]
    yield "data show", ["data", "show", path, "--show-gold"]
    yield "grade", ["grade", work / "rows.jsonl", f"--gold={path}"]
    yield "vote", ["vote", path]


def _tiny():
    small = ("--per_device_train_batch_size=2", "--num_generations=2", "--max_completion_length=4", "--max_steps=1")
    return [*small, "--use_cpu", "--report_to=none", "--save_strategy=no"]


def _list_bad_data(work):
    for name, content in BAD_DATA.items():
        path = work / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        for command, arguments in _use_data(work, path):
            yield f"{name} in {command}", arguments
    for command, arguments in _use_data(work, work / "missing.jsonl"):
        yield f"missing in {command}", arguments
    for command, arguments in _use_data(work, work / "model"):
        yield f"a folder in {command}", arguments


# ---- models


def _list_bad_models(work):
    data = f"--data={work / 'good.jsonl'}"
    for name, change in BAD_MODELS.items():
        model = work / "models" / name.replace(" ", "-")
        shutil.copytree(runs.BASE, model)
        change(model)
        yield f"{name} in train", ["train", f"--model={model}", data, f"--output_dir={work / 'out'}", *_tiny()]
        yield f"{name} in eval", ["eval", f"--model={model}", data, *SMALL]
        yield f"{name} in preflight", ["preflight", f"--model={model}", data, *SMALL]
        yield f"{name} in inspect", ["inspect", f"--model={model}", data, *SMALL, f"--out={work / 'out.html'}"]


# ---- options


def _list_bad_options(work):
    data, model = f"--data={work / 'good.jsonl'}", f"--model={runs.BASE}"
    begin = {
        "train": ["train", model, data, f"--output_dir={work / 'out'}", *_tiny()],
        "eval": ["eval", model, data, *SMALL],
        "preflight": ["preflight", model, data, *SMALL],
        "inspect": ["inspect", model, data, *SMALL, f"--out={work / 'out.html'}"],
        "vote": ["vote", work / "rows.jsonl"],
        "grade": ["grade", work / "rows.jsonl", f"--gold={work / 'good.jsonl'}"],
        "experiment": ["experiment", "arithmetic", f"--out={work / 'out'}"],
        "report": ["report", work / "run"],
    }
    for command, options in BAD_OPTIONS.items():
        for option in options:
            yield f"{command} {option}", [*begin[command], option]


# ---- folders that a command goes on with or reads


def _list_bad_folders(work):
    data, model = f"--data={work / 'good.jsonl'}", f"--model={runs.BASE}"
    for name, content in GARBAGE.items():
        for file in ("spine_config.json", "metrics.jsonl", "samples.jsonl"):
            run = work / "runs" / f"{name}-{file.partition('.')[0]}"
            shutil.copytree(work / "run", run)
            (run / file).write_bytes(content + b"\n" if file.endswith("l") else content)
            where = f"{name} {file}"
            yield f"{where} in report", ["report", run, f"--out={work / 'out.html'}"]
            if file == "spine_config.json":
                yield f"{where} in resume", ["train", model, data, f"--output_dir={run}", *_tiny(), "--resume"]
                yield f"{where} in eval", ["eval", f"--model={run}", data, *SMALL]
        for file in ("settings.json", "greedy.jsonl", "samples.jsonl"):
            evaluation = work / "evaluations" / f"{name}-{file.partition('.')[0]}"
            shutil.copytree(work / "evaluation", evaluation)
            (evaluation / file).write_bytes(content + b"\n" if file.endswith("l") else content)
            yield f"{name} {file} graded anew", ["eval", data, f"--from-samples={evaluation}"]


def _list_bad_files(work):
    """Configurations and experiments."""
    (work / "files").mkdir()
    for name, text in BAD_FILES.items():
        path = work / "files" / f"{name}.yaml"
        path.write_text(text)
        given = [f"--model={runs.BASE}", f"--data={work / 'good.jsonl'}", f"--output_dir={work / 'out'}", *_tiny()]
        yield f"config {name}", ["train", f"--config={path}", *(given if name != "flag" else given[:1] + given[2:])]
        yield f"experiment {name}", ["experiment", path, f"--out={work / 'out'}"]
    (work / "files" / "latin-1.yaml").write_bytes(b"prompt_suffix: \xe4")
    yield "config latin-1", ["train", f"--config={work / 'files' / 'latin-1.yaml'}"]


def _list_overwrites(work):
    """Outputs that name what is read, or what is another's."""
    good, rows, run = work / "good.jsonl", work / "rows.jsonl", work / "run"
    data, model = f"--data={good}", f"--model={runs.BASE}"
    (work / "thesis").mkdir()
    (work / "thesis" / "thesis.tex").write_text("years of work")
    (work / "link.jsonl").symlink_to(good)
    (work / "hard.jsonl").hardlink_to(good)
    over = "--overwrite"
    for out in (good, work / "link.jsonl", work / "hard.jsonl", work / "thesis" / "thesis.tex", work / "thesis"):
        yield f"eval --json {out.name}", ["eval", model, data, *SMALL, f"--json={out}", over]
        yield f"inspect --out {out.name}", ["inspect", model, data, *SMALL, f"--out={out}", over]
        yield f"preflight --json {out.name}", ["preflight", model, data, *SMALL, f"--json={out}", over]
        yield f"vote --out {out.name}", ["vote", rows, f"--out={out}", over]
        yield f"grade --json {out.name}", ["grade", rows, f"--gold={good}", f"--json={out}", over]
        yield f"report --out {out.name}", ["report", run, f"--out={out}", over]
        yield f"train into {out.name}", ["train", model, data, f"--output_dir={out}", *_tiny(), over]
        yield f"eval into {out.name}", ["eval", model, data, *SMALL, f"--out={out}", over]
    for name in ("metrics.jsonl", "spine_config.json", "model.safetensors"):
        yield f"report over {name}", ["report", run, f"--out={run / name}", over]
    yield "train over its model", ["train", f"--model={run}", data, f"--output_dir={run}", *_tiny(), over]
    yield "vote twice one file", ["vote", rows, f"--out={work / 'out'}", f"--json={work / 'out'}"]
    yield "grade twice one file", ["grade", rows, f"--gold={good}", f"--out={work / 'out'}", f"--json={work / 'out'}"]
    yield "vote over its rows", ["vote", rows, f"--out={rows}", over]


# ---- chance


def _make_fuzz(work, draw, number):
    """A good file with a part cut, doubled or of another value, in a command that reads it."""
    path = work / "fuzz" / f"{number}.jsonl"
    path.parent.mkdir(exist_ok=True)
    content = bytearray((work / draw.choice(("good.jsonl", "rows.jsonl"))).read_bytes())
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(content))
        end = min(len(content), start + draw.randint(1, 20))
        content[start:end] = draw.choice((b"", content[start:end] * 2, draw.randbytes(end - start), b'"', b"}", b"\0"))
        content = content or bytearray(b" ")
    path.write_bytes(content)
    name, arguments = draw.choice([*_use_data(work, path)])
    return f"fuzz {number} in {name}", arguments
