"""Running ``python -m glm_core`` in this process."""

from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from glm_core.cli import main


def run(*arguments: object) -> int:
    """Exit code of the command line with these arguments, run in this process."""
    return main([str(argument) for argument in arguments])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error that starts with "error:"."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, lines
    return lines[0]


def generate(folder: Path, *options: object) -> dict[str, Tensor]:
    """The tensors ids, preview and latent that ``generate`` writes with these options. Its files go to ``folder``."""
    files = {"--out": "picture.png", "--plan-out": "plan.safetensors", "--latent-out": "latent.safetensors"}
    outputs = [value for option, file in files.items() for value in (option, folder / file)]
    assert run("generate", *options, *outputs) == 0
    return load_file(folder / "plan.safetensors") | load_file(folder / "latent.safetensors")
