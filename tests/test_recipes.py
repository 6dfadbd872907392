"""The recipes: each is run for a step at a tiny size, on a CPU, so that none goes stale; CUDA is left out."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from trl import TrlParser
from trl.scripts.vllm_serve import ScriptArguments

from models import save_qwen2
from paths import ROOT
from spine_rl.cli.main import app
from spine_rl.cli.parse import parse
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.options import read_yaml

RECIPES = ROOT / "recipes"
RUNS = sorted(path for path in RECIPES.glob("*.yaml") if not path.name.startswith("accelerate"))
FILES = sorted(path for path in RECIPES.iterdir() if path.name != "README.md")
# What only a GPU has, or another machine; everything else of the recipe is run as it stands.
WITHOUT_CUDA = {"two-gpus-vllm": ("--use_vllm", "false")}
if find_spec("bitsandbytes") is None:
    WITHOUT_CUDA["one-gpu-qlora"] = ("--load_in_4bit", "false")
TINY = ("--max_steps", 1, "--max_completion_length", 4, "--use_cpu", "--save_strategy", "no", "--report_to", "none")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model and problems, and the options that put them in place of a recipe's."""
    folder = tmp_path_factory.mktemp("tiny")
    problems = folder / "problems.jsonl"
    rows = [{"id": f"q{i}", "prompt": f"What is {i}+{i}?"} for i in range(8)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "--model", save_qwen2(folder / "model"), "--data", str(problems)


def read_head(path):
    """The comment lines that a file begins with."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#!")]
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("# "))]


def list_commands(path):
    return [line.removeprefix("#   ") for line in read_head(path) if line.startswith("#   ")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_recipe_says_what_it_is_for_in_a_few_lines(path):
    assert path.name in (RECIPES / "README.md").read_text()
    if path.name != "accelerate-fsdp2.yaml":  # the other half of a recipe
        assert 5 <= len(read_head(path)) <= 6
        assert list_commands(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_commands_of_a_recipe_are_commands(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for command in list_commands(path):
        words = [word for word in shlex.split(command) if "=" not in word or word.startswith("-")]
        match words:
            case ["spine", *rest]:
                parse(app, rest)
            case ["accelerate", "launch", *rest]:
                launch = launch_command_parser().parse_args(rest)
                assert (launch.module, launch.training_script) == (True, "spine_rl.cli.main")
                assert load_config_from_file(launch.config_file).num_processes == 8
                parse(app, launch.training_script_args)
            case ["trl", "vllm-serve", *rest]:
                (server,) = TrlParser([ScriptArguments]).parse_args_and_config(rest)
                assert server.model == yaml.safe_load(path.read_text())["model"]
            case ["sbatch", "--nodes", "2", script, *rest]:
                assert (ROOT / script).is_file()
                parse(app, ["train", *rest])
            case ["docker", "build", *rest]:
                assert "recipes/Dockerfile" in rest
            case ["docker", "run", *rest]:
                assert rest[rest.index("train") - 1] == "spine"
            case _:
                raise AssertionError(f"unknown command: {command}")


def read_run(path, out):
    resolved = json.loads((out / "spine_config.json").read_text())["resolved"]
    given = yaml.safe_load(path.read_text())
    return given, resolved["training"] | resolved["model"] | resolved["run"]


@pytest.mark.slow
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_recipe_runs(path, spine, tiny, tmp_path):
    out = tmp_path / "run"
    left_out = WITHOUT_CUDA.get(path.stem, ())
    if "qlora" in path.stem:
        tiny = ("--model", ARITHMETIC.base, *tiny[2:])  # 4 bits come in blocks of 64: it is wide enough
    status, _, error = spine("train", "--config", path, *tiny, "--output_dir", out, *TINY, *left_out)
    assert status == 0, error
    given, resolved = read_run(path, out)
    replaced = {"model", "data", "output_dir", "max_steps", "max_completion_length", *(n.strip("-") for n in left_out)}
    for name in given.keys() - replaced:
        assert resolved[name] == (float(given[name]) if isinstance(resolved[name], float) else given[name]), name
    assert (out / ("adapter_model.safetensors" if "use_peft" in given else "model.safetensors")).is_file()


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_preflight_reads_a_recipe(path, spine, tiny, tmp_path):
    out = tmp_path / "figures.json"
    more = ("--max_completion_length", 4, "--limit", 2, "--num_generations", 2, "--json", out)
    more += ("--per_device_train_batch_size", 2, "--gradient_accumulation_steps", 1)
    more += ("--steps_per_generation", 2) if "schedule" in path.stem else ()
    more += WITHOUT_CUDA.get(path.stem, ()) if "qlora" in path.stem else ()
    tiny = ("--model", ARITHMETIC.base, *tiny[2:]) if "qlora" in path.stem else tiny
    status, _, error = spine("preflight", "--config", path, *tiny, *more)
    assert status == 0, error
    cost = json.loads(out.read_text())["cost"]
    assert cost["memory_gib"]["peak"]["most"] > 0
    assert cost["hours"] > 0
    assert ("caches" in cost["memory_gib"]) == ("vllm" not in path.stem)  # there they are another process's


# ---- several processes, several nodes


SRUN = """#!/bin/bash
# As SLURM's: the same command on every node, each with its number.
while [[ $1 == --* ]]; do shift; done
for ((node = 0; node < SLURM_NNODES; node++)); do SLURM_NODEID=$node "$@" & jobs+=($!); done
for job in "${jobs[@]}"; do wait "$job" || exit 1; done
"""


@pytest.mark.clusters
@pytest.mark.slow
def test_the_slurm_script_starts_a_process_on_each_of_two_nodes(tiny, tmp_path):
    """With SLURM's commands pretended, and gloo in the place of NCCL; the launcher and the training are real."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {"srun": SRUN, "scontrol": "#!/bin/bash\necho 127.0.0.1\necho elsewhere\n"}
    scripts["accelerate"] = f'#!/bin/bash\nexec {sys.executable} -m accelerate.commands.accelerate_cli "$@"\n'
    for name, text in scripts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    launcher = tmp_path / "launcher.yaml"
    launcher.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nmixed_precision: 'no'\n")
    out = tmp_path / "run"
    options = [*tiny, "--output_dir", out, *TINY, "--per_device_train_batch_size", 8, "--ddp_backend", "gloo"]
    done = subprocess.run(
        ["bash", "recipes/slurm.sbatch", "--config", "recipes/eight-gpus-fsdp2.yaml", *map(str, options)],
        cwd=ROOT,
        env=os.environ
        | {
            "PATH": f"{tools}:{os.environ['PATH']}", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[1-2]",
            "SPINE_PROCESSES_PER_NODE": "1", "SPINE_LAUNCHER": str(launcher), "SPINE_PORT": "29533",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    resolved = json.loads((out / "spine_config.json").read_text())["resolved"]["training"]
    assert resolved["generation_batch_size"] == 16
    assert (out / "model.safetensors").is_file()


def test_the_slurm_script_asks_for_one_launcher_a_node_and_a_signal():
    text = (RECIPES / "slurm.sbatch").read_text()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", text, re.MULTILINE))
    assert asked["ntasks-per-node"] == "1"
    assert asked["signal"].startswith("TERM@")
    subprocess.run(["bash", "-n", RECIPES / "slurm.sbatch"], check=True)


def test_the_fsdp2_launcher_shards_and_saves_whole_models():
    config = load_config_from_file(str(RECIPES / "accelerate-fsdp2.yaml"))
    assert config.distributed_type == "FSDP"
    assert (config.fsdp_config["fsdp_version"], config.fsdp_config["fsdp_state_dict_type"]) == (2, "FULL_STATE_DICT")


# ---- the image


def test_the_image_is_made_of_what_is_there():
    """Its lines are read, not run: files that are copied, extras and the command exist."""
    lines = re.sub(r"\\\n", " ", (RECIPES / "Dockerfile").read_text()).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert next(name for name, _ in steps) == "FROM"
    for sources in (text.split()[:-1] for name, text in steps if name == "COPY"):
        assert all((ROOT / source).exists() for source in sources), sources
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = [re.search(r"pip install .*'\.\[(.*)\]'", text) for name, text in steps if "pip install" in text]
    assert set(extras[1].split(",")) <= project["optional-dependencies"].keys()
    copied = {source for name, text in steps if name == "COPY" for source in text.split()[:-1]}
    assert {project["readme"], *project["license-files"], "pyproject.toml", "src"} <= copied
    assert dict(steps)["ENTRYPOINT"] == '["spine"]'
    assert "spine" in project["scripts"]


# ---- TTRL's schedule


@pytest.mark.parametrize("name", ["ttrl-schedule", "spine-schedule"])
def test_the_schedule_is_64_votes_32_trained_8_problems_and_a_problem_a_step(name):
    recipe = read_yaml(RECIPES / f"{name}.yaml").content
    trained = recipe["per_device_train_batch_size"] * recipe["gradient_accumulation_steps"]
    assert (recipe["num_votes"], recipe["num_generations"], trained) == (64, 32, 32)
    generation = recipe["per_device_train_batch_size"] * recipe["steps_per_generation"]
    assert generation == 8 * recipe["num_generations"]
