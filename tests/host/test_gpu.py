"""The parts of ``tests.gpu`` that run inside ComfyUI, on the CPU at the tiny size; not in 0.8, which pages nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.gpu.parts import Setting
from tests.host.conftest import HOSTS
from tests.support.hosts import PACK, host_version

NEW_HOSTS = [host for host in HOSTS if (host / "comfy" / "model_prefetch.py").exists()]


def run(host: Path, folder: Path, part: str, *options: str) -> dict:
    setting = Setting("cpu", "tiny", host, None)
    python = setting.comfyui_python
    command = [python, "-m", "tests.gpu.comfyui", part, "--comfyui", host, "--json", folder / "part.json",
               "--device", "cpu", "--size", "tiny", *options]
    done = subprocess.run(command, cwd=PACK, env=setting.environment(python), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((folder / "part.json").read_text())


@pytest.mark.parametrize("host", NEW_HOSTS, ids=host_version)
def test_checks_inside_comfyui_pass(host, tmp_path):
    found = run(host, tmp_path, "checks")
    assert len(found["checks"]) == 15 and all(check["passed"] for check in found["checks"])


@pytest.mark.parametrize("host", NEW_HOSTS, ids=host_version)
def test_a_quantised_planner_is_timed(host, tmp_path):
    found = run(host, tmp_path, "tokens", "--format", "int8")
    names = {figure["what"] for figure in found["figures"]}
    assert {f"default, batch {batch}: time of a token" for batch in (1, 4, 8)} < names
    assert "plain, batch 1: share of memory roofline" in names


@pytest.mark.long
@pytest.mark.parametrize("host", NEW_HOSTS, ids=host_version)
def test_a_quantised_picture_is_timed(host, tmp_path):
    found = run(host, tmp_path, "picture", "--format", "int8")
    assert "whole picture 32², 2 guided steps" in {figure["what"] for figure in found["figures"]}
    assert all(figure["value"] > 0 for figure in found["figures"])
