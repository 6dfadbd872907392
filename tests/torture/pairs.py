"""Two processes at once in one folder or file, in every command that writes: one wins, nothing is doubled or mixed."""

import json
import shutil

from torture import children, runs
from torture.disks import EXPERIMENT


def torture(work, count, seed=0):
    """Counts over `count` pairs, and what went wrong, a line each."""
    data = runs.write_problems(work / "problems.jsonl")
    (work / "two.yaml").write_text(EXPERIMENT)
    rows = [{"id": f"p{i % 8}", "completion": f"so it is {i}"} for i in range(400)]
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = runs.command(data, work / "run", steps=2)
    assert children.run(run, work / "log", work)[0] == 0, (work / "log").read_text()
    cases = list(_list_cases(work, data))
    counts = {"pairs": 0, "one refused": 0, "one after the other": 0}
    wrong = []
    for number in range(count):
        name, command, out, read = cases[number % len(cases)]
        pair = [children.start(command, work / f"log-{each}", work) for each in (1, 2)]
        statuses = [child.wait() for child in pair]
        printed = [child.printed for child in pair]
        counts["pairs"] += 1
        refused = statuses.count(2)
        whole = read(out) if 0 in statuses else None
        shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
        status, alone = children.run(command, work / "log", work)
        assert status == 0, alone
        if any("Traceback" in text for text in printed) or statuses.count(0) + refused < 2 or 0 not in statuses:
            wrong.append(f"{name}: {statuses}; {printed[0][-200:]}; {printed[1][-200:]}")
        elif whole != read(out):
            wrong.append(f"{name}: not what one process writes")
        else:
            counts["one refused" if refused else "one after the other"] += 1
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    return counts, wrong


def _list_cases(work, data):
    """Name, command, what it writes, and how that is read."""
    out = work / "out"
    eval_ = ["eval", f"--model={runs.BASE}", f"--data={data}", f"--out={out}", "--num-generations=2"]
    yield "train", runs.command(data, out, steps=2), out, runs.read_end
    yield "eval", [*eval_, "--max-completion-length=16"], out, runs.read_rows
    yield "experiment", ["experiment", work / "two.yaml", f"--out={out}"], out, runs.read_curves
    yield "vote", ["vote", work / "rows.jsonl", f"--out={out}"], out, _read_file
    yield "grade", ["grade", work / "rows.jsonl", f"--gold={data}", f"--out={out}"], out, _read_file
    looks = [f"--model={runs.BASE}", f"--data={data}", "--num-generations=2", "--max-completion-length=8"]
    yield "inspect", ["inspect", *looks, f"--out={out}"], out, _read_kind
    yield "preflight", ["preflight", *looks, f"--json={out}"], out, _read_kind
    yield "report", ["report", work / "run", f"--out={out}"], out, _read_kind
    yield "data", ["data", "show", data, f"--html={out}"], out, _read_kind
    (work / "solve.yaml").write_text("max_steps: 2\n")
    solve = ["solve", data, f"--model={runs.BASE}", "--max-completion-length=8", f"--run={work / 'solve.yaml'}"]
    yield "solve", [*solve, f"--out={out / 'answers.jsonl'}"], out, runs.read_rows


def _read_file(out):
    return out.read_bytes()


def _read_kind(out):
    """Times differ; that it is one whole page or object is what counts."""
    text = out.read_text()
    return text.count("</html>") if text.startswith("<") else sorted(json.loads(text))
