"""What the references cost and where they are kept, asked of the pack inside the host's own process."""

import json
import subprocess

import pytest
from safetensors import safe_open

from glm_core.checkpoint import DIFFUSION, PLANNER
from tests.host.conftest import HOSTS
from tests.support.servers import PACK, host_python, host_version


@pytest.fixture(scope="module", params=HOSTS, ids=host_version)
def answers(request, models):
    command = [host_python(request.param), PACK / "tests" / "host" / "in_process.py", PACK, models.folder / DIFFUSION.file,
               models.folder / PLANNER.file]
    done = subprocess.run(command, cwd=request.param, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_estimate_counts_what_is_kept(answers):
    assert answers["estimated"] == pytest.approx(answers["kept"], rel=0.01)


def test_the_estimate_of_a_picture_is_what_the_network_holds(answers):
    assert answers["picture"] == pytest.approx(answers["streams"], rel=1e-6)


def test_a_run_computes_each_picture_once(answers):
    assert answers["again"] and answers["anew"]


def test_what_does_not_fit_is_kept_on_the_cpu(answers):
    assert answers["fits"] == "cuda" and answers["too large"] == "cpu"


def test_the_table_of_words_is_not_the_managers_to_move(answers, models):
    words = answers["words"]
    with safe_open(models.folder / PLANNER.file, framework="pt") as file:
        sizes = {name: file.get_tensor(name).nbytes for name in file.keys() if "language_model" in name or "lm_head" in name}
    assert words["names"] == [] and words["table"] == max(sizes.values())
    assert words["managed"] + words["table"] == sum(sizes.values())


def test_the_network_compiles_to_one_graph_for_both_branches(answers):
    assert answers["compiled"]["apart"] <= 1e-5 and answers["compiled"]["graphs"] == [1, 1]


@pytest.mark.parametrize("part", ["decoder", "planner"])
def test_what_fits_in_half_is_computed_all_the_same(answers, part):
    """What is not loaded is cast where it is wanted, and patched there."""
    plain, patched = (answers["partly"][part][name] for name in ("as it is", "patched"))
    assert plain["loose"] and patched["loose"] and patched["moved"] > 1e-3
    assert plain["apart"] == 0 and patched["apart"] <= 1e-5


def test_a_recorded_pass_writes_the_same_plans(answers):
    """Also with a LoRA's patches, after these, after a cancel; and nothing is recorded where weights move or passes are wider."""
    recorded = answers["recorded"]
    assert recorded["same"] == [True] * 5 and recorded["lora"] and recorded["lora moves it"] and recorded["cancelled"]
    assert recorded["recorded"] == [1, 1, 1, 1] and recorded["plain"] == [0, 0]


def test_a_pass_is_recorded_on_nvidia_unless_comfyui_was_told_not_to(answers):
    assert answers["recorders"] == {"nvidia": True, "cpu": False, "told not to": False, "other": False}


def test_a_planner_is_fused_where_that_costs_no_memory(answers):
    assert answers["fused"] == {"fused": True, "fused where weights are paged": False, "cpu": False, "cuda": True}
