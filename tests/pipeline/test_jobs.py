"""Many requests → files: the same pictures whatever is drawn beside them, before them, or by another process."""

from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glm_core.errors import GLMImageError
from glm_core.images import read_image, to_image
from glm_core.pipeline import (
    Job,
    PlanRequest,
    RenderRequest,
    RenderSettings,
    Share,
    draw_jobs,
    plan,
    read_references,
    render,
    run,
    unfinished_jobs,
    with_seeds,
)
from tests.support.compute import CPU
from tests.support.tiny import small_checkpoint

ONE_STEP = RenderSettings(steps=1)
PROMPTS = "a 'sign'", "b", "c 'sign'", "d"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """The files of all jobs, drawn in one chunk."""
    return draw(model, make_jobs(tmp_path_factory.mktemp("whole")))


def make_jobs(folder: Path) -> list[Job]:
    requests = with_seeds([PlanRequest(prompt, 64, 64, batch=2 if prompt == "b" else 1) for prompt in PROMPTS], 3)
    return [Job(folder / f"{i}.png", request, ONE_STEP) for i, request in enumerate(requests)]


def draw(model: Path, jobs: list[Job], **options) -> dict[str, bytes]:
    assert list(draw_jobs(model, jobs, CPU, **options)) == jobs
    return files_of(jobs[0].path.parent)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_job_draws_what_its_request_describes(model, whole):
    (request, *_) = with_seeds([PlanRequest(PROMPTS[0], 64, 64)], 3)
    (rendered,) = render(model, [RenderRequest.of(request, plan(model, [request], CPU)[0], ONE_STEP)], CPU)
    assert sorted(whole) == ["0.png", "1-1.png", "1.png", "2.png", "3.png"] and len(set(whole.values())) == 5
    drawn = np.asarray(Image.open(BytesIO(whole["0.png"])))
    assert np.array_equal(drawn, np.asarray(to_image(rendered.pictures[0])))


def test_the_size_of_a_chunk_changes_nothing(model, whole, tmp_path):
    assert draw(model, make_jobs(tmp_path), chunk=1) == whole


def test_two_halves_are_the_whole(model, whole, tmp_path):
    jobs = make_jobs(tmp_path)
    halves = [Share(number, 2).of(jobs) for number in (1, 2)]
    assert [len(half) for half in halves] == [2, 2]
    draw(model, halves[1])
    assert sorted(files_of(tmp_path)) == ["1-1.png", "1.png", "3.png"]
    assert draw(model, halves[0]) == whole


@pytest.mark.parametrize("number, count", [(0, 2), (3, 2), (1, 0)])
def test_there_is_no_other_part(number, count):
    with pytest.raises(GLMImageError, match="--part must be"):
        Share(number, count)


def test_an_interrupted_run_draws_only_what_is_missing(model, whole, tmp_path):
    jobs = make_jobs(tmp_path)
    assert list(islice(draw_jobs(model, jobs, CPU, chunk=2), 2)) == jobs[:2]
    jobs[1].paths[1].unlink()
    missing = unfinished_jobs(model, jobs, CPU)
    assert missing == jobs[1:]
    assert draw(model, missing) == whole and unfinished_jobs(model, jobs, CPU) == []


def test_a_picture_of_something_else_is_neither_kept_nor_overwritten(model, tmp_path_factory, tmp_path):
    job = make_jobs(tmp_path)[0]
    draw(model, [job])
    others = [replace(job, request=replace(job.request, prompt="another")), replace(job, has_glyphs=False),
              replace(job, request=replace(job.request, seed=1)), replace(job, settings=RenderSettings(steps=2)),
              replace(job, plan_of=make_jobs(tmp_path)[2]), replace(job, images=(Path("a.png"),))]
    for other in others:
        with pytest.raises(GLMImageError, match="must be a picture of the same prompt, settings and model"):
            unfinished_jobs(model, [other], CPU)
    with pytest.raises(GLMImageError, match="got another"):
        unfinished_jobs(small_checkpoint(tmp_path_factory.mktemp("other"), seed=1), [job], CPU)
    assert unfinished_jobs(model, [replace(job, request=replace(job.request, look_ahead=2))], CPU) == []
    Image.new("RGB", (64, 64)).save(job.path)
    with pytest.raises(GLMImageError, match="got one that does not say"):
        unfinished_jobs(model, [job], CPU)


def test_reference_images_are_read_from_their_files(model, tmp_path):
    Image.effect_noise((96, 64), 90).save(tmp_path / "noise.png")
    (tmp_path / "out").mkdir()
    plain, other = make_jobs(tmp_path / "out")[::2]
    job = replace(other, images=(tmp_path / "noise.png",))
    draw(model, [plain, job])
    (references,) = read_references(model, [[read_image(tmp_path / "noise.png")]], CPU)
    request = replace(job.request, references=references)
    (rendered,) = render(model, [RenderRequest.of(request, plan(model, [request], CPU)[0], ONE_STEP)], CPU)
    assert np.array_equal(np.asarray(Image.open(job.path)), np.asarray(to_image(rendered.pictures[0])))


def test_a_picture_that_is_not_finite_is_not_written(model, tmp_path, monkeypatch):
    nothing = torch.full((1, 8, 8, 3), torch.nan)
    monkeypatch.setattr(run, "decode_pixels", lambda vae, latent, compute: nothing)
    jobs = make_jobs(tmp_path)[:1]
    jobs[0].path.write_text("of an earlier run")
    assert draw(model, jobs) == {}


def test_a_file_is_never_there_in_part(model, tmp_path, monkeypatch):
    job = make_jobs(tmp_path)[0]

    def fill_the_disk(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="no space"):
        draw(model, [job])
    assert not job.path.exists()


def test_jobs_that_cannot_be_drawn_are_refused(tmp_path):
    job = make_jobs(tmp_path)[0]
    with pytest.raises(GLMImageError, match="must end with .png"):
        replace(job, path=tmp_path / "a.jpg")
