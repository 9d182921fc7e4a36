"""What the references cost and where they are kept, asked of the pack inside the host's own process."""

import json
import subprocess

import pytest

from glm_core.checkpoint import DIFFUSION
from tests.host.conftest import HOSTS
from tests.host.servers import PACK, host_python, host_version


@pytest.fixture(scope="module", params=HOSTS, ids=host_version)
def answers(request, models):
    command = [host_python(request.param), PACK / "tests" / "host" / "in_process.py", PACK, models.folder / DIFFUSION.file]
    done = subprocess.run(command, cwd=request.param, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_estimate_counts_what_is_kept(answers):
    assert answers["estimated"] == pytest.approx(answers["kept"], rel=0.01)


def test_a_run_computes_each_picture_once(answers):
    assert answers["again"] and answers["anew"]


def test_what_does_not_fit_is_kept_on_the_cpu(answers):
    assert answers["fits"] == "cuda" and answers["too large"] == "cpu"
