"""Agreement of `spine grade` with the right verdicts on responses made of benchmark files, a form of answer a row.

    python benchmarks/answer_data.py DATA --out FOLDER

DATA holds `gsm8k_test.jsonl`, `math500.jsonl`, `math500_solutions_level1-3.jsonl`, `amc.jsonl`, `aime2024.jsonl`,
`pubmedqa_test.jsonl` and `mathvision/testmini.jsonl`, as their authors publish them. Each form is a way to write a
known answer down, the worked solution before it where the benchmark has one; forms named "none:" hold no answer or
several, and agree where nothing is read. `spine grade` runs as a command, so that PYTHONPATH chooses the
version. Rows that disagree go to FOLDER/disagree.jsonl.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

COURTESY = " I hope this helps! Let me know if you have any further questions."
VALUES = {  # of any value; {steps} is a worked solution or nothing
    "\\boxed{18}": "{steps}So it is $\\boxed{{{right}}}$.",
    "A: 18": "{steps}\nA: {right}",
    "The answer is 18.": "{steps}\nThe answer is ${right}$.",
    "The answer to the question is 18.": "{steps}\nThe answer to the question is ${right}$." + COURTESY,
    "The final answer is: 18 (checked)": "{steps}\n**The final answer is:** ${right}$ (checked).",
    "答案是18。": "{steps}\n答案是${right}$。",
    "Réponse : 18": "{steps}\nRéponse : ${right}$",
    "Die Antwort lautet 18.": "{steps}\nDie Antwort lautet ${right}$.",
    "Ответ: 18": "{steps}\nОтвет: ${right}$.",
    "정답은 18입니다": "{steps}\n정답은 ${right}$입니다.",
    "<think> closed": "<think>Is it \\boxed{{1234567}}?</think>{steps}\nThe answer is ${right}$.",
    "none: <think> open": "<think>{steps} So \\boxed{{{right}}}?",
    "none: not enough information": "{steps}\nThere is not enough information to determine whether it is ${right}$.",
}
LETTERS = {
    "The answer is (C).": "{steps}The answer is ({right}).",
    "【答案】C": "【解析】由图可知。\n【答案】{right}",
    "正确选项：C": "综上所述，正确选项：{right}",
    "故选C。": "由图可知，故选{right}。",
    "选项C正确": "因此，选项{right}正确",
    "**C** first": "**{right}**\n\nThe picture shows it, unlike {other}.",
    "most likely C": "It is most likely {right}, given the picture.",
    "Option C is the correct answer": "Thus Option {right} is the correct answer, and {other} is wrong.",
    "Réponse : C": "Réponse : {right}",
    "the option's text": "The answer is \\boxed{{{text}}}.",
    "none: (C) and (D)": "The answer is ({right}) and ({other}).",
    "none: 故选CD": "故选{pair}",
    "none: (J)": "The answer is (J).",
    "none: 无法确定": "题目信息不足，无法确定选{right}还是选{other}。",
}
YES_NO = {
    "The answer is yes.": "The answer is {right}.",
    "the answer (Yes or No) is Yes.": "Therefore, the answer (Yes or No) is {title}." + COURTESY,
    "Yes first": "{title}. The study shows it.",
    "\\boxed{yes}": "So \\boxed{{\\text{{{right}}}}}.",
    "none: not enough information": "There is not enough information to answer.",
}


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def list_sets(data):
    """Name, answer type, forms, and (what a form is filled with, gold answer, options) of each row."""
    gsm8k = []
    for row in read_jsonl(data / "gsm8k_test.jsonl"):
        steps, _, right = row["answer"].partition("\n#### ")
        gsm8k.append(({"steps": steps, "right": right}, right, []))
    yield "GSM8K", "number", {"#### 18": "{steps}\n#### {right}", **VALUES}, gsm8k
    solved = read_jsonl(data / "math500_solutions_level1-3.jsonl")
    yield (
        "MATH solutions",
        "math",
        {"as published": "{steps}"},
        [({"steps": row["solution"], "right": ""}, row["answer"], []) for row in solved],
    )
    for name, file in (("MATH-500", "math500"), ("AMC", "amc"), ("AIME 2024", "aime2024")):
        rows = read_jsonl(data / f"{file}.jsonl")
        yield name, "math", VALUES, [({"steps": "", "right": row["answer"]}, row["answer"], []) for row in rows]
    letters, values = [], []
    for row in read_jsonl(data / "mathvision" / "testmini.jsonl"):
        right, options = row["answer"], row["options"]
        if not options:
            values.append(({"steps": "", "right": right}, right, []))
            continue
        other = "AB"[right == "A"]
        pair = "".join(sorted(right + other))
        # options that are pictures are named by their letters
        text = options["ABCDE".index(right)]
        letters.append(({"steps": "", "right": right, "other": other, "pair": pair, "text": text}, right, options))
    yield "MathVision, choice", "choice", LETTERS, letters
    yield "MathVision, free", "math", VALUES, values
    decisions = [row["final_decision"] for row in read_jsonl(data / "pubmedqa_test.jsonl")]
    yield "PubMedQA", "yes_no", YES_NO, [({"right": each, "title": each.title()}, each, []) for each in decisions]


def grade(rows, forms, answer_type, folder):
    """Per form, how many verdicts are right; and the responses of those that are not."""
    gold, completions = [], []
    for form, template in forms.items():
        for number, (filling, right, options) in enumerate(rows):
            row = {"id": f"{form}/{number}", "answer_type": answer_type}
            if options:
                row["options"] = options
            gold.append({**row, "answer": right})
            completions.append({**row, "completion": template.format(**filling)})
    for name, content in (("gold", gold), ("completions", completions)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    command = [sys.executable, "-m", "spine_rl.cli.main", "grade", folder / "completions.jsonl"]
    command += ["--gold", folder / "gold.jsonl", "--out", folder / "graded.jsonl", "--overwrite"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    agreed, wrong = dict.fromkeys(forms, 0), []
    for row, asked, right in zip(read_jsonl(folder / "graded.jsonl"), completions, gold, strict=True):
        form = asked["id"].rpartition("/")[0]
        agrees = row["key"] is None if form.startswith("none:") else row["correct"]
        agreed[form] += bool(agrees)
        if not agrees:
            wrong.append({**asked, "answer": right["answer"], "extracted": row["extracted"], "key": row["key"]})
    return agreed, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    everything = []
    print("| benchmark | form | responses | right verdicts |\n| --- | --- | --- | --- |")
    for name, answer_type, forms, rows in list_sets(arguments.data):
        agreed, wrong = grade(rows, forms, answer_type, arguments.out)
        everything += [{"benchmark": name, **row} for row in wrong]
        for form, count in agreed.items():
            print(f"| {name} | `{form}` | {len(rows)} | {count / len(rows):.3f} |", flush=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in everything)
    (arguments.out / "disagree.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
