"""What no request to a server can show: the functions test_* in in_process/, run inside each ComfyUI's own process."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from glm_core.checkpoint import DIFFUSION, PLANNER
from tests.host.conftest import HOSTS
from tests.support.hosts import PACK, host_python, host_version

FOLDER = Path(__file__).parent / "in_process"


def names_of_tests(path: Path) -> list[str]:
    """Of the functions test_* in a file, which only the host's Python can import."""
    functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return [function.name for function in functions if function.name.startswith("test_")]


NAMES = [name for path in sorted(FOLDER.glob("*_tests.py")) for name in names_of_tests(path)]


@pytest.fixture(scope="module", params=HOSTS, ids=host_version)
def results(request, models) -> dict[str, str]:
    files = models.folder / DIFFUSION.file, models.folder / PLANNER.file
    command = [host_python(request.param), FOLDER / "run.py", PACK, *files]
    done = subprocess.run(command, cwd=request.param, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_in_comfyui(results, name):
    if results[name].startswith("skipped"):
        pytest.skip(results[name])
    if results[name] != "passed":
        pytest.fail(results[name], pytrace=False)
