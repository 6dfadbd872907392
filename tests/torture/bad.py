"""What is wrong with inputs: data, models, options, folders and files, by name."""

import itertools
import json

from safetensors.torch import load_file, save_file

GOOD = '{"id": "a", "prompt": "1+1=", "answer": "2"}\n{"id": "b", "prompt": "2+1=", "answer": "3"}\n'
BAD_DATA = {
    "latin-1.jsonl": GOOD.replace("a", "ä").encode("latin-1"),
    "utf-16.jsonl": GOOD.encode("utf-16"),
    "latin-1.json": b'[{"id": "\xe4", "prompt": "?", "answer": "2"}]',
    "latin-1.csv": b"id,prompt,answer\n\xe4,?,2\n",
    "utf-16.csv": "id,prompt,answer\na,?,2\n".encode("utf-16"),
    "bom.jsonl": GOOD.encode("utf-8-sig"),
    "large.csv": b"id,prompt,answer\na," + b"x" * 200_000 + b",2\n",
    "open.csv": b'id,prompt,answer\na,"1+1,2\nb,?,3\n',
    "twice.csv": b"id,prompt,answer,answer\na,?,2,3\n",
    "short.csv": b"id,prompt,answer\na,?\n",
    "deep.jsonl": b'{"id": ' + b"[" * 100_000,
    "deep.json": b"[" * 100_000 + b"]" * 100_000,
    "digits.jsonl": b'{"id": "a", "prompt": "?", "answer": ' + b"9" * 5000 + b"}\n",
    "half-id.jsonl": b'{"id": "\\ud83d", "prompt": "?", "answer": "2"}\n',
    "half-prompt.jsonl": b'{"id": "a", "prompt": "\\udc00", "answer": "2"}\n',
    "empty.jsonl": b"",
    "empty.csv": b"",
    "empty.json": b"[]",
    "object.json": b'{"id": "a"}',
    "torn.jsonl": GOOD.encode()[:-20],
    "nul.jsonl": b"\0" * 100,
    "list.jsonl": b"[1, 2]\n",
    "twice-id.jsonl": b'{"id": 1, "prompt": "?", "answer": 1}\n' * 2,
    "no-prompt.jsonl": b'{"id": 1, "answer": 1}\n',
    "null.jsonl": b'{"id": 1, "prompt": null, "answer": null}\n',
    "number.jsonl": b'{"id": 1, "prompt": 5, "answer": 5}\n',
    "nan.jsonl": b'{"id": 1, "prompt": "?", "answer": NaN}\n',
    "true.jsonl": b'{"id": 1, "prompt": "?", "answer": true}\n',
    "long.jsonl": b'{"id": 1, "prompt": "' + b"1+" * 5000 + b'", "answer": 1}\n',
    "image.jsonl": b'{"id": 1, "prompt": "?", "answer": 1, "image": "missing.png"}\n',
    "chat.jsonl": b'{"id": 1, "prompt": [{"role": "user"}], "answer": 1}\n',
    "bad.parquet": b"PAR1" + b"\0" * 50 + b"PAR1",
    "text.txt": b"1+1\n",
}


# ---- models


def _change_json(name, **fields):
    def change(model):
        content = json.loads((model / name).read_text())
        for field, value in fields.items():
            content[field] = value
        (model / name).write_text(json.dumps(content))

    return change


def _write(name, content):
    return lambda model: (model / name).write_bytes(content)


def _cut(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _fill_with_nan(model):
    weights = load_file(model / "model.safetensors")
    save_file({name: tensor * float("nan") for name, tensor in weights.items()}, model / "model.safetensors")


def _drop_tokenizer(model):
    for path in model.glob("tokenizer*"):
        path.unlink()


BAD_MODELS = {
    "cut weights": _cut,
    "empty weights": _write("model.safetensors", b""),
    "no weights": lambda model: (model / "model.safetensors").unlink(),
    "nan weights": _fill_with_nan,
    "no tokenizer": _drop_tokenizer,
    "garbage tokenizer": _write("tokenizer.json", b"{"),
    "garbage config": _write("config.json", b"{"),
    "empty config": _write("config.json", b"{}"),
    "no config": lambda model: (model / "config.json").unlink(),
    "unknown type": _change_json("config.json", model_type="nonsense"),
    "other size": _change_json("config.json", hidden_size=7),
    "small vocabulary": _change_json("config.json", vocab_size=3),
    "broken template": _write("chat_template.jinja", b"{% if %}"),
    "empty template": _write("chat_template.jinja", b""),
    "garbage generation": _write("generation_config.json", b"["),
    "penalty": _change_json("generation_config.json", repetition_penalty=1.3),
}


# ---- options

BAD_OPTIONS = {
    "train": (
        "--learning_rate=nan", "--learning_rate=-1", "--learning_rate=inf", "--per_device_train_batch_size=0",
        "--gradient_accumulation_steps=0", "--adam_beta1=2", "--max_steps=0", "--max_steps=-5", "--save_steps=nan",
        "--max_grad_norm=nan", "--max_grad_norm=-1", "--limit=0", "--limit=-1", "--dtype=foo", "--seed=-1",
        "--num_generations=0", "--max_completion_length=0", "--temperature=0", "--temperature=nan", "--top_p=2",
        "--fork_fraction=nan", "--preset=none", "--num_votes=1", "--warmup_steps=-1", "--config=missing.yaml",
        "--lr_scheduler_type=foo", "--optim=foo", "--nonsense=1", "--output_dir=", "--num_train_epochs=nan",
    ),
    "eval": ("--seed=-1", f"--seed={2**70}", "--dtype=foo", "--num-generations=0", "--temperature=nan", "--top-p=0",
             "--limit=0", "--batch-size=0", "--engine=foo", "--max-completion-length=-1", "--budget=-1",
             "--answer-type=foo", "--baseline=missing", "--nonsense=1"),
    "preflight": ("--seed=-1", "--dtype=foo", "--num-generations=1", "--temperature=inf", "--preset=foo", "--limit=0"),
    "inspect": ("--seed=-1", "--dtype=foo", "--num-generations=0", "--temperature=-1", "--preset=foo", "--limit=-3"),
    "vote": ("--vote-min-share=2", "--vote-min-margin=nan", "--weighted=perhaps", "--answer-type=foo"),
    "grade": ("--answer-type=foo", "--gold-column=nothing", "--id-column=nothing", "--gold=missing"),
    "experiment": ("--jobs=0", "--only=arm=nothing", "--out=good.jsonl", "--reuse=missing"),
    "report": ("--out=", "--nonsense"),
}  # fmt: skip


# ---- folders and files

GARBAGE = {"empty": b"", "brace": b"{", "list": b"[1]", "latin-1": b'{"a": "\xe4"}', "deep": b"[" * 100_000}
GARBAGE |= {"number": b'{"settings": 5, "given": 5}\n'}

_BOMB = ["a: &a [x, x, x, x, x, x, x, x, x]\n"]
_BOMB += [f"{after}: &{after} [{', '.join([f'*{name}'] * 9)}]\n" for name, after in itertools.pairwise("abcdefghi")]
BAD_FILES = {
    "empty": "",
    "list": "[1]",
    "open": "model: [",
    "unknown": "modell: x",
    "twice": "seed: 1\nseed: 2",
    "bomb": "".join(_BOMB),
    "tag": "model: !!python/object/apply:os.system ['true']",
    "nul": "model: \0",
    "half": 'prompt_suffix: "\\ud83d"',
    "flag": "data: [x, --overwrite]",
    "date": "seed: 2020-01-01",
    "nan": "learning_rate: .nan",
}
