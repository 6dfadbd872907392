"""How options are given: alike in every command, on the command line and in a file, and one line for each mistake."""

import dataclasses
import re
import subprocess
import sys
import time
from typing import get_type_hints

import pytest

from spine_rl.cli import train_command
from spine_rl.cli.groups import Prompts
from spine_rl.cli.main import app
from spine_rl.cli.parse import Given, parse
from spine_rl.errors import ConfigError
from spine_rl.options.declare import Help
from spine_rl.training.trl_fields import ELSEWHERE, list_trl_switches, read_fields

COMMANDS = [
    ("train", "--model=m", "--data=d", "--output_dir=o"), ("eval", "--model=m", "--data=d"),
    ("transfer", "--run=r.yaml", "--eval_data=e", "--out=o"), ("preflight", "--model=m", "--data=d"),
    ("inspect", "--model=m", "--data=d"), ("vote", "c.jsonl"), ("grade", "c.jsonl", "--gold=g"), ("report", "r"),
    ("solve", "d", "--model=m", "--out=o"),
    ("data", "show", "amc"), ("data", "export", "amc", "o.jsonl"), ("demo",), ("bench",), ("experiment", "e.yaml"),
]  # fmt: skip
NAMES = [next(iter(command)) if command[0] != "data" else " ".join(command[:2]) for command in COMMANDS]


def read(*tokens):
    """The options' values by name, of all groups of the command."""
    groups = parse(app, list(map(str, tokens))).keywords.values()
    return {
        entry.name: getattr(group, entry.name)
        for group in groups
        if dataclasses.is_dataclass(group)
        for entry in dataclasses.fields(group)
    }


def list_groups(command):
    """The dataclasses of a command's options."""
    types = get_type_hints(parse(app, list(command)).func).values()
    return [group for group in types if dataclasses.is_dataclass(group) and group is not Given]


def refuse(*tokens):
    with pytest.raises(ConfigError) as caught:
        parse(app, list(map(str, tokens)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "options.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_a_wrong_name_gets_the_nearest_in_every_command(command, config):
    assert refuse(*command, "--overwrit").startswith("unknown option 'overwrit'; ")
    assert refuse(*command, "--confg=x") == "unknown option 'confg'; did you mean 'config'?"
    path = config("# of mine\nconfg: x\n")
    assert refuse(*command, "--config", path).startswith(f"{path}, line 2: unknown option 'confg'; did you mean 'conf")


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_every_command_reads_its_options_from_a_file(command, config):
    name, value = {
        "vote": ("answer-type", "choice"), "grade": ("answer_type", "choice"), "report": ("out", "x.html"),
        "data": ("limit", 2) if "show" in command else ("overwrite", "true"), "bench": ("size", "x"),
        "experiment": ("jobs", 3), "demo": ("max_steps", 4),
    }.get(command[0], ("num-generations", 6))  # fmt: skip
    read(*command, "--config", config(f"{name}: {value}\n"))
    found = parse(app, [*command, "--config", str(config(f"{name}: {value}\n"))]).keywords.values()
    values = [getattr(group, name.replace("-", "_"), None) for group in found]
    assert str(value) in [str(each).lower() if isinstance(each, bool) else str(each) for each in values]


def test_dashes_and_underscores_are_alike_and_the_command_line_wins(config):
    path = config("learning-rate: 1e-4\nmax_steps: 5\nfork-fraction: 0.3\n")
    values = read(*COMMANDS[0], "--config", path, "--max-steps", 7, "--num_generations=4", "--freeze_vision", "false")
    assert (values["learning_rate"], values["max_steps"], values["fork_fraction"]) == (1e-4, 7, 0.3)
    assert (values["num_generations"], values["freeze_vision"]) == (4, False)


def test_the_last_of_several_values_holds():
    assert read(*COMMANDS[0], "--max_steps=3", "--max_steps=2")["max_steps"] == 2


def test_a_file_says_none_and_none_says_nothing(config):
    values = read(*COMMANDS[0], "--config", config("band: none\nprompt_suffix: ' Go.'\nnum_votes: null\n"))
    assert (values["band"], values["prompt_suffix"], values["num_votes"]) == ("none", " Go.", None)


def test_items_of_a_files_list_are_never_flags(config):
    values = read(*COMMANDS[0], "--config", config("lora_target_modules: [--overwrite, q_proj]\n"))
    assert (values["lora_target_modules"], values["overwrite"]) == (["--overwrite", "q_proj"], False)
    given = parse(app, [*COMMANDS[0], "--config", str(config("report_to: [--overwrite, wandb]\n"))]).keywords["given"]
    assert given.rest == {"report_to": ["--overwrite", "wandb"]}


def test_problems_to_solve_stand_with_their_name_or_without(config):
    for problems in (["p.jsonl"], ["--data", "p.jsonl"], ["--config", config("data: p.jsonl\n")]):
        (group,) = parse(app, ["solve", *map(str, problems), "--model=m", "--out=o", "--limit=3"]).args
        assert (group.data, group.limit) == ("p.jsonl", 3)
    path = config("data: p.jsonl\nlearning_rate: 1e-4\n")
    assert refuse("solve", "--config", path, "--model=m", "--out=o") == (
        f"{path}, line 2: unknown option 'learning_rate'; options of a run stand in the file of --run"
    )


def test_lists_take_several_values():
    values = read(*COMMANDS[0], "--lora_target_modules", "q_proj", "v_proj", "--use_peft")
    assert (values["lora_target_modules"], values["use_peft"]) == (["q_proj", "v_proj"], True)
    assert read("transfer", "--run=r", "--out=o", "--eval-data", "a", "--eval-data=b")["eval_data"] == ["a", "b"]


def test_fields_that_only_trl_declares_are_handed_on():
    given = parse(app, [*COMMANDS[0], "--log-completions", "--optim", "sgd", "--dataloader_num_workers=0"]).keywords[
        "given"
    ]
    assert given.rest == {"log_completions": [], "optim": ["sgd"], "dataloader_num_workers": ["0"]}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("trian",), "unknown command 'trian'; did you mean 'train'?"),
        (("data", "shw"), "unknown command 'shw'; did you mean 'show'?"),
        (("train",), "model is missing; give --model, or a line in the --config file"),
        (("grade", "c"), "gold is missing; give --gold, or a line in the --config file"),
        (("report",), "RUNS is missing; --help says what it is"),
        (("eval", "--data"), "--data needs a value"),
        (("vote", "c", "d"), "unexpected 'd'; an option begins with --"),
        (("train", "x"), "unexpected 'x'; an option begins with --"),
        ((*COMMANDS[0], "x"), "unexpected 'x'; an option begins with --"),
        ((*COMMANDS[0], "--learning_rate=fast"), "learning_rate='fast': must be a number"),
        ((*COMMANDS[0], "--learning_rate=nan"), "learning_rate=nan: must be a finite number, at least 0"),
        ((*COMMANDS[0], "--learning_rate=-1"), "learning_rate=-1.0: must be at least 0"),
        ((*COMMANDS[0], "--max_steps=0"), "max_steps=0: must be at least 1"),
        ((*COMMANDS[0], "--max_steps=-5"), "max_steps=-5: must be at least 1, or -1"),
        ((*COMMANDS[0], "--max_steps=2.5"), "max_steps=2.5: must be a whole number"),
        ((*COMMANDS[0], "--save_steps=nan"), "save_steps=nan: must be a finite number, above 0"),
        ((*COMMANDS[0], "--max_grad_norm=-1"), "max_grad_norm=-1.0: must be at least 0"),
        ((*COMMANDS[0], "--per-device-train-batch-size=0"), "per_device_train_batch_size=0: must be at least 1"),
        ((*COMMANDS[0], "--gradient_accumulation_steps=0"), "gradient_accumulation_steps=0: must be at least 1"),
        ((*COMMANDS[0], "--adam_beta1=2"), "adam_beta1=2.0: must be in [0, 1)"),
        ((*COMMANDS[0], "--limit=0"), "limit=0: must be at least 1"),
        ((*COMMANDS[0], "--limit=-1"), "limit=-1: must be at least 1"),
        ((*COMMANDS[0], "--use_cpu=perhaps"), "use_cpu='perhaps': must be true or false"),
        ((*COMMANDS[0], "--lora_r=0"), "lora_r=0: must be at least 1"),
        ((*COMMANDS[1], "--seed=-1"), "seed=-1: must be in [0, 4,294,967,295]"),
        ((*COMMANDS[1], f"--seed={2**70}"), "must be in [0, 4,294,967,295]"),
        ((*COMMANDS[1], "--dtype=foo"), "dtype='foo': must be one of auto, float32, bfloat16, float16"),
        ((*COMMANDS[1], "--top-p=0"), "top_p=0.0: must be in (0, 1]"),
        ((*COMMANDS[1], "--num-generations=0"), "num_generations=0: must be at least 1"),
        ((*COMMANDS[1], "--preset=spine"), "unknown option 'preset'"),
        (("vote", "c", "--vote-min-share=1.5"), "vote_min_share=1.5: must be in [0, 1]"),
        (("data", "show", "amc", "--limit=0"), "limit=0: must be at least 1"),
        (("demo", "--learning-rate=0"), "learning_rate=0.0: must be above 0"),
        (("bench", "--prompts=0"), "prompts=0: must be at least 1"),
        (("experiment", "x", "--jobs=0"), "jobs=0: must be at least 1"),
        (("vote", "c", "--weighted", "perhaps"), "unexpected 'perhaps'; --weighted stands alone, or takes true or fal"),
        (("vote", "c", "--weighted=maybe"), "weighted='maybe': must be true or false"),
        (("vote", "--oot", "x", "c"), "unknown option 'oot'; did you mean 'out'?"),
        (("vote", ""), "FILE='': the path is empty; give one"),
        (("report", "r", ""), "RUNS='': the path is empty"),
        (("vote", "c", "--out="), "out='': the path is empty"),
        (("vote", "c", "--config", ""), "config='': the path is empty"),
        (("train", "--model=m", "--data=", "--output_dir=o"), "data='': the path is empty"),
        (("train", "--model=", "--data=d", "--output_dir=o"), "model='': the path is empty"),
        (("train", "--model=m", "--data=d", "--out", ""), "output_dir='': the path is empty"),
        (("data", "show", "gsm8k="), "SOURCE='gsm8k=': the path is empty"),
        (("vote", "c", "--out", "-"), "--out needs a value; - is none, give a file's name"),
        (("vote", "c", "--out", "-x"), "--out needs a value; a file of that name is ./-x"),
        (("vote", "c", "--out", "--weighted"), "--out needs a value"),
        (("grade", "-", "--gold", "-"), "--gold needs a value; - is none, give a file's name"),
        (("data", "show", "-"), "unexpected '-': standard input is read for completions alone; give a file's name"),
        (("data", "export", "amc", "-"), "unexpected '-': standard input is read for completions alone"),
        (
            ("data", "show", "-a.jsonl"),
            "unexpected '-a.jsonl'; an option begins with --, and a file of that name is ./",
        ),
        (("--config", "x", "data", "show"), "--config stands before the command; options come after it"),
        ((*COMMANDS[0], "--use_peft", "perhaps"), "unexpected 'perhaps'; --use_peft stands alone, or takes true or"),
        ((*COMMANDS[0], "--warmup_ratio=0.1"), "unknown option 'warmup_ratio'; give warmup_steps: a number below 1"),
        ((*COMMANDS[0], "--dataset_name", "x"), "unknown option 'dataset_name'; give data"),
        ((*COMMANDS[0], "--max-prompt-length=8"), "unknown option 'max_prompt_length'; prompts are never cut"),
    ],
)
def test_mistakes(tokens, message):
    assert message in refuse(*tokens)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "line 2: 'seed' stands in line 1 too; remove one"),
        ("\nlearning_rate: -1e-4\n", "line 2: learning_rate=-0.0001: must be at least 0"),
        ("learning_rate: fast\n", "line 1: learning_rate='fast': must be a number"),
        ("max_steps: 1.5\n", "line 1: max_steps=1.5: must be a whole number"),
        ("seed: [1, 2]\n", "line 1: seed=[1, 2]: must be one value"),
        ("seed: {a: 1}\n", "line 1: seed={'a': 1}: must be one value"),
        ("lora_target_modules: [{a: 1}]\n", "line 1: lora_target_modules=[{'a': 1}]: must be texts"),
        ("config: x\n", "line 1: a file cannot name another; give one --config"),
        ("- a\n", "expected lines `key: value`, got a list"),
    ],
)
def test_mistakes_in_a_file(config, text, message):
    path = config(text)
    line = refuse(*COMMANDS[0], "--config", path)
    assert line.startswith(str(path))
    assert message in line


@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("no", False), ("True", True), ("false", False), ("1", True), ("0", False)]
)
def test_a_switch_takes_a_word_of_its_own(config, word, value):
    assert read("vote", "--weighted", word, "c.jsonl")["weighted"] is value
    assert read("vote", "c.jsonl", f"--weighted={word}")["weighted"] is value
    assert read("vote", "c.jsonl", "--config", config(f"weighted: {word}\n"))["weighted"] is value


WORDS = {"on": True, "OFF": False, "Yes": True, "no": False, "1": True, "f": False, "T": True, "0": False, "y": True}


def say_word(names, word, config):
    """All of them, with a word: after an equals sign, by itself, in a file."""
    yield [f"--{name}={word}" for name in names]
    yield [token for name in names for token in (f"--{name.replace('_', '-')}", word)]
    yield ["--config", str(config("".join(f"{name}: {word}\n" for name in names)))]


@pytest.mark.parametrize("command", [COMMANDS[index] for index in (0, 4, 5)], ids=lambda command: command[0])
def test_every_switch_takes_every_word_and_no_before_its_name(command, config):
    switches = [
        entry.name for group in list_groups(command) for entry in dataclasses.fields(group) if entry.type is bool
    ]
    assert "overwrite" in switches
    for word, value in WORDS.items():
        for tokens in say_word(switches, word, config):
            values = read(*command, *tokens)
            assert {values[name] for name in switches} == {value}, tokens
    for sign in "-_":
        path = config("".join(f"{name}: on\n" for name in switches))
        values = read(*command, "--config", path, *(f"--no{sign}{name.replace('_', sign)}" for name in switches))
        assert {values[name] for name in switches} == {False}
    assert "unknown option" in refuse(*command, "--config", config("no_overwrite: on"))


def test_switches_that_only_trl_declares_take_the_same(config):
    from trl import GRPOConfig, ModelConfig

    kinds = {**get_type_hints(ModelConfig), **get_type_hints(GRPOConfig)}
    assert list_trl_switches() == {name for name, kind in kinds.items() if kind in (bool, bool | None)}
    declared = {entry.name for group in list_groups(COMMANDS[0]) for entry in dataclasses.fields(group)}
    switches = sorted(list_trl_switches() - declared)

    def read_switches(tokens):
        given = parse(app, [*COMMANDS[0], *tokens]).keywords["given"]
        return {**read_fields(ModelConfig, given.rest, given.where), **read_fields(GRPOConfig, given.rest, given.where)}

    names = [*switches, "include_num_input_tokens_seen"]  # which may be text, too
    for word, value in WORDS.items():
        for tokens in [*say_word(names, word, config)][:: 1 if word == "on" else 2]:
            assert read_switches(tokens) == dict.fromkeys(names, value), tokens
    assert read_switches([f"--no-{name}" for name in switches]) == dict.fromkeys(switches, False)
    assert read_switches([f"--{name}" for name in names]) == dict.fromkeys(names, True)
    for token, message in {
        "--no-max-steps": "unknown option 'no_max_steps'", "--no-optim": "unknown option 'no_optim'",
        "--no-bf16=true": "unknown option 'no_bf16'", "--no-cuda": "give use_cpu",
    }.items():  # fmt: skip
        assert message in refuse(*COMMANDS[0], token)


def test_words_for_a_switch_stay_what_they_are_elsewhere():
    values = read(*COMMANDS[0], "--prompt-suffix", "no", "--max-steps", "1", "--save_strategy", "no", "--bf16", "yes")
    assert (values["prompt_suffix"], values["max_steps"]) == ("no", 1)
    assert values["rest"] == {"save_strategy": ["no"], "bf16": ["yes"]}
    assert parse(app, ["vote", "--weighted", "-"]).args == ("-",)


def test_words_of_a_file_are_what_they_say(config):
    path = config("prompt_sharing: off\nsave_strategy: no\nprompt_suffix: yes\nleave_one_out: on\nbf16: no\n")
    values = read(*COMMANDS[0], "--config", path)
    assert [values[name] for name in ("prompt_sharing", "prompt_suffix", "leave_one_out")] == ["off", "yes", True]
    assert values["rest"] == {"save_strategy": "no", "bf16": "no"}


def test_the_home_folder_is_found_where_a_shell_leaves_it(config, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    path = config("model: ~/m\ndata: gsm8k=~/d.jsonl\noutput_dir: ~/o\nprompt_suffix: ~/s\n")
    values = read("train", "--config", path)
    assert [values[name] for name in ("model", "data", "output_dir", "prompt_suffix")] == [
        "/home/me/m", "gsm8k=/home/me/d.jsonl", "/home/me/o", "~/s",
    ]  # fmt: skip
    assert str(read("report", "r", "--out=~/x.html")["out"]) == "/home/me/x.html"
    assert parse(app, ["data", "show", "~/d.jsonl"]).args == ("/home/me/d.jsonl",)
    monkeypatch.setenv("HOME", str(path.parent))
    assert read("train", f"--config=~/{path.name}")["model"] == f"{path.parent}/m"


def test_the_templates_arguments_are_a_mapping_in_a_file_and_json_on_the_command_line(config):
    path = config("chat_template_kwargs: {enable_thinking: false}\n")
    for command in (COMMANDS[0], COMMANDS[1], COMMANDS[3], COMMANDS[4]):
        for given in (["--config", str(path)], ["--chat-template-kwargs", '{"enable_thinking": false}']):
            (prompts,) = (
                each for each in parse(app, [*command, *given]).keywords.values() if isinstance(each, Prompts)
            )
            assert prompts.given["chat_template_kwargs"] == {"enable_thinking": False}
    with pytest.raises(ConfigError, match=r"chat_template_kwargs='\[1\]': must be a mapping, as text in JSON"):
        Prompts(chat_template_kwargs="[1]").given  # noqa: B018


def test_data_show_and_export_take_the_columns_that_their_messages_advise(spine, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"text": "1+3?", "solution": "4"}\n')
    status, _, error = spine("data", "show", path)
    assert (status, "name one with prompt_column" in error) == (2, True)
    columns = ("--prompt-column=text", "--gold-column=solution")
    status, printed, _ = spine("data", "show", path, "--show-gold", *columns)
    assert (status, "1+3?" in printed, "gold: 4" in printed) == (0, True, True)
    assert spine("data", "export", path, tmp_path / "out.jsonl", *columns)[0] == 0
    assert '"answer": "4"' in (tmp_path / "out.jsonl").read_text()
    assert read("data", "show", "amc", "--allow-image-urls")["allow_image_urls"]


def test_names_from_elsewhere_are_none_of_ours_and_lead_to_options_there_are():
    names = train_command.list_run_fields()
    assert not ELSEWHERE.keys() & names
    for remedy in ELSEWHERE.values():
        if remedy.startswith("give "):
            assert re.match(r"give (\w+)", remedy)[1] in names, remedy


def test_a_runs_file_serves_before_the_run(config):
    path = config(
        "model: m\ndata: d\noutput_dir: o\nlora_r: 4\noptim: sgd\nnum_generations: 4\nfork_fraction: 0.4\ntop_p: 0.7\n"
    )
    for command in ("preflight", "inspect"):
        values = read(command, "--config", path)
        found = [values[name] for name in ("model", "num_generations", "fork_fraction", "top_p")]
        assert found == ["m", 4, 0.4, 0.7]
    assert refuse("inspect", "--config", path, "--lora-r=4").startswith("unknown option 'lora_r'")
    rest = read("preflight", "--config", path, "--lora-r=8")["rest"]  # its estimates are of the run
    assert rest == {"output_dir": "o", "lora_r": ["8"], "optim": "sgd"}
    assert refuse("preflight", "--config", path, "--lora-s=4").startswith("unknown option 'lora_s'")
    assert "unknown option 'output_dir'" in refuse("eval", "--config", path)


def test_the_same_name_is_the_same_thing_in_every_command():
    found = {}
    for command in COMMANDS:
        for group in list_groups(command):
            types = get_type_hints(group)
            for entry in dataclasses.fields(group):
                found.setdefault(entry.name, {})[command] = types[entry.name]
    shared = {name: uses for name, uses in found.items() if len(uses) > 1}
    assert {"model", "data", "seed", "temperature", "num_generations", "answer_type", "out", "limit"} <= shared.keys()
    for name, uses in shared.items():
        kinds = {re.sub(r" \| None|<class '|'>", "", str(kind)) for kind in uses.values()}
        assert len(kinds) == 1, (name, uses)
    assert not found.keys() & {"samples", "generations", "type", "max_new_tokens", "min_share", "rows_at_once"}


def test_every_help_is_a_sentence_that_begins_with_a_noun_or_a_verb():
    for command in COMMANDS:
        for group in list_groups(command):
            for entry in dataclasses.fields(group):
                text = entry.metadata["help"]
                assert isinstance(text, Help)
                assert text[0].isupper(), text
                assert text.endswith("."), text
                assert not text.startswith(("Of ", "The ")), text


def test_names_of_trls_fields_are_those_that_it_has():
    from trl import GRPOConfig, ModelConfig

    found = {*GRPOConfig.__dataclass_fields__, *ModelConfig.__dataclass_fields__}
    assert train_command.list_trl_fields() == found


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["train", "--help"], 0),
        (["eval", "--help"], 0),
        ([*COMMANDS[0], "--optin=x"], 2),
        (["train"], 2),
        (["experiment", "list"], 0),
    ],
)
def test_help_and_mistakes_need_no_torch(arguments, status):
    code = (
        "import sys\nfrom spine_rl.cli.main import main\nsys.argv[0] = 'spine'\ntry:\n    main()\n"
        "except SystemExit as end:\n    status = end.code or 0\nelse:\n    status = 0\n"
        "print('\\nloaded', status, *({'torch', 'trl', 'transformers', 'datasets', 'sympy'} & set(sys.modules)))"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"loaded {status}"
    assert time.monotonic() - start < 10  # under 2 on a quiet machine
    assert "Traceback" not in done.stderr


def test_no_name_is_broken_in_an_eighty_column_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    parse(app, ["train", "--help"])()
    printed = capsys.readouterr().out
    for name in ("per-device-train-batch-size", "gradient-accumulation-steps", "max-completion-length"):
        assert f"--{name} INT" in printed
