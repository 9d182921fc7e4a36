"""Jobs over a Ray cluster, here of a few processes: the same bits as one process, whatever happens to a worker."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.pipeline import Job, PlanRequest, RenderSettings, draw_jobs, plan, unfinished_jobs, with_seeds
from glm_core.pipeline.cluster import Pools, connected, draw_on_cluster, plan_on_cluster
from tests.support.command_line import run
from tests.support.compute import CPU
from tests.support.hosts import PACK
from tests.support.pictures import blobs
from tests.support.tasks import write_lines
from tests.support.tiny import small_checkpoint

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed; pip install 'ray[data]'")
PROMPTS = "a 'sign'", "b", "c 'sign'", "d 'two'", "e", "f"
POOLS = Pools(threads=torch.get_num_threads())
MANY_STEPS = 40
SLOW = {"JobPlanner": {"steps": 1, "side": 256, "best_of": 8}, "JobDecoder": {"steps": MANY_STEPS}}  # to be killed


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def cluster():
    with connected(replace(POOLS, decoders=2)):
        yield


def make_jobs(folder: Path, steps: int = 2, side: int = 64, best_of: int = 1) -> list[Job]:
    """With a batch, a reference image, another job's plan, and without glyphs."""
    blobs(96, 64, seed=0).save(folder / "blobs.bmp")
    requests = with_seeds([PlanRequest(prompt, side, side, batch=2 if prompt == "b" else 1, best_of=best_of)
                           for prompt in PROMPTS], 3)
    jobs = [Job(folder / f"{i}.png", request, RenderSettings(steps)) for i, request in enumerate(requests)]
    jobs[2] = replace(jobs[2], images=(folder / "blobs.bmp",))
    jobs[3] = replace(jobs[3], plan_of=jobs[4])
    return [*jobs[:-1], replace(jobs[-1], has_glyphs=False)]


def pictures_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def drawn_here(model: Path, folder: Path, **options) -> dict[str, bytes]:
    folder.mkdir()
    assert len(list(draw_jobs(model, make_jobs(folder, **options), CPU))) == len(PROMPTS)
    return pictures_of(folder)


@needs_ray
def test_pictures_are_those_of_one_process(model, cluster, tmp_path):
    jobs = make_jobs(tmp_path)
    finished = list(draw_on_cluster(model, jobs, CPU, pools=replace(POOLS, decoders=2)))
    assert sorted(job.path for job in finished) == [job.path for job in jobs]
    assert pictures_of(tmp_path) == drawn_here(model, tmp_path / "here")
    assert unfinished_jobs(model, jobs, CPU) == []


@needs_ray
def test_plans_are_those_of_one_process(model, cluster):
    requests = with_seeds([PlanRequest(prompt, 96, 64, batch=2, best_of=2) for prompt in PROMPTS[:3]], 7)
    for found, expected in zip(plan_on_cluster(model, requests, CPU, pools=POOLS), plan(model, requests, CPU),
                               strict=True):
        assert torch.equal(found.ids, expected.ids) and found.origins == expected.origins
        assert found.coarse is not None and expected.coarse is not None and torch.equal(found.coarse, expected.coarse)
        assert found.log_probs is not None and expected.log_probs is not None
        assert torch.equal(found.log_probs, expected.log_probs)


def workers_below(process: int) -> dict[str, int]:
    """The processes of the pools that this process has started, by name."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:  # it has ended
            continue
    return {kind: pid for kind in ("JobPlanner", "JobDecoder") for pid, name in names.items()
            if f"Map({kind})" in name and parents.get(parents[pid]) == process}


@needs_ray
@pytest.mark.long
@pytest.mark.parametrize("kind", ["JobPlanner", "JobDecoder"])
def test_what_a_killed_worker_had_is_drawn_by_another(model, cluster, tmp_path, kind):
    drawing = draw_on_cluster(model, make_jobs(tmp_path, **SLOW[kind]), CPU, pools=POOLS)
    next(drawing)
    killed = workers_below(os.getpid())[kind]
    os.kill(killed, signal.SIGKILL)
    assert len(list(drawing)) == len(PROMPTS) - 1
    assert pictures_of(tmp_path) == drawn_here(model, tmp_path / "here", **SLOW[kind])


@needs_ray
def test_an_error_of_a_worker_is_that_of_the_run(model, cluster, tmp_path):
    (tmp_path / "text.bmp").write_text("no image")
    jobs = make_jobs(tmp_path)[:2]
    jobs[1] = replace(jobs[1], images=(tmp_path / "text.bmp",))
    with pytest.raises(GLMImageError, match="Pillow cannot read this file as an image"):
        list(draw_on_cluster(model, jobs, CPU, pools=POOLS))


@needs_ray
def test_the_commands_draw_on_a_cluster(model, cluster, tmp_path, monkeypatch):
    """Workers are in another folder than the command, whose files and model have relative names."""
    monkeypatch.chdir(tmp_path)
    blobs(96, 64, seed=0).save("blobs.bmp")
    lines = [{"prompt": prompt} for prompt in PROMPTS[:2]]
    prompts = write_lines(Path("a.jsonl"), *lines, {"prompt": "c", "images": ["blobs.bmp"]})
    options = "--model", os.path.relpath(model), "--width", 64, "--height", 64, "--steps", 2, "--prompts", prompts
    generate = "generate", *options, "--out"
    for folder, more in (("here", ()), ("there", ("--ray", "local", "--planners", 1, "--decoders", 1))):
        assert run(*generate, tmp_path / folder, *more) == 0
    here, there = (pictures_of(tmp_path / folder) for folder in ("here", "there"))
    assert here == there and len(here) == 3


@needs_ray
@pytest.mark.long
def test_a_run_is_resumed_after_its_process_was_killed(model, tmp_path):
    prompts = write_lines(tmp_path / "a.jsonl", *({"prompt": prompt} for prompt in 5 * PROMPTS))
    command = ["generate", "--model", model, "--width", 64, "--height", 64, "--steps", MANY_STEPS, "--prompts", prompts]
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-m", "glm_core", *map(str, command), "--out", out, "--ray", "local"],
                               cwd=PACK, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None and b"00000.png" in process.stdout.readline()
    process.kill()
    process.wait()
    drawn = pictures_of(out)
    assert 0 < len(drawn) < 30
    assert run(*command, "--out", out, "--resume", "--ray", "local") == 0
    assert run(*command, "--out", tmp_path / "here") == 0
    assert pictures_of(out) == pictures_of(tmp_path / "here") and len(pictures_of(out)) == 30


@pytest.mark.parametrize("options, message", [
    ({"planners": 0}, "--planners must be at least 1"), ({"decoders": 0}, "--decoders must be at least 1"),
    ({"gpus_per_planner": 1.5}, "--gpus-per-planner must be from 0 to 1, or a whole number"),
    ({"gpus_per_decoder": -1}, "--gpus-per-decoder must be from 0 to 1"),
    ({"gpus_per_decoder": float("nan")}, "--gpus-per-decoder must be from 0 to 1"),
])
def test_pools_that_cannot_be_are_refused(options, message):
    Pools(gpus_per_planner=0.5, gpus_per_decoder=2)
    with pytest.raises(GLMImageError, match=message):
        Pools(**options)


def test_without_ray_it_is_named(monkeypatch):
    monkeypatch.setattr("glm_core.pipeline.cluster.find_spec", lambda name: None)
    with pytest.raises(GLMImageError, match="--ray needs Ray, which is not installed"), connected(POOLS):
        pass
