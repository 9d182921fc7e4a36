import os

import pytest
import torch

from glm_core.checkpoint import DIFFUSION, EMBEDDED, GLYPH, PLANNER, VAE, VISION, read_part
from glm_core.errors import GLMImageError
from glm_core.pipeline import Compute, PlanRequest, RenderRequest, RenderSettings, load, load_planner, plan, render
from glm_core.rl.output import write_checkpoint
from tests.support.tiny import small_checkpoint

CPU = Compute(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("tiny"))


def test_the_checkpoint_has_the_new_part_and_draws(source, tmp_path):
    dit = load(source, DIFFUSION, CPU)
    new = {name: tensor + 1 for name, tensor in dit.state_dict().items()}
    write_checkpoint(source, tmp_path, DIFFUSION, new)
    loaded = load(tmp_path, DIFFUSION, CPU)
    assert all(torch.equal(tensor, new[name]) for name, tensor in loaded.state_dict().items())
    assert loaded.config == dit.config
    request = PlanRequest("a", 64, 64)
    plans = plan(tmp_path, [request], CPU)
    (rendered,) = render(tmp_path, [RenderRequest(plans[0], "a", RenderSettings(steps=2))], CPU)
    assert rendered.pictures.shape == (1, 64, 64, 3)


def test_other_files_are_the_same_data(source, tmp_path):
    write_checkpoint(source, tmp_path, DIFFUSION, {})
    for part in (PLANNER, GLYPH, VAE):
        for file in (source / part.folder).iterdir():
            assert os.path.samefile(file, tmp_path / part.folder / file.name)
    assert (tmp_path / "processor" / "tokenizer.json").is_file() and (tmp_path / "model_index.json").is_file()


def test_the_planners_files_keep_the_vision_tower_and_the_tokenizer(source, tmp_path):
    model = load_planner(source, CPU, fused=False).model
    new = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    write_checkpoint(source, tmp_path, PLANNER, new)
    loaded = load_planner(tmp_path, CPU, fused=False).model
    assert all(torch.equal(tensor, new[name]) for name, tensor in loaded.state_dict().items())
    visions = [load(folder, VISION, CPU).state_dict() for folder in (source, tmp_path)]
    assert all(torch.equal(tensor, visions[1][name]) for name, tensor in visions[0].items())


def test_tensors_keep_the_types_in_which_they_are_stored(tmp_path):
    stored = read_part(EMBEDDED / DIFFUSION.folder, DIFFUSION).tensors
    name = "proj_out.bias"
    write_checkpoint(EMBEDDED, tmp_path, DIFFUSION, {name: torch.full(stored[name].shape, 0.5)})
    written = read_part(tmp_path / DIFFUSION.folder, DIFFUSION).tensors
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16} and bool((written.pop(name) == 0.5).all())
    assert all(torch.equal(tensor, stored[other]) for other, tensor in written.items())
    assert (tmp_path / DIFFUSION.folder / "config.json").read_text() == (
        EMBEDDED / DIFFUSION.folder / "config.json").read_text()


def test_a_second_result_replaces_the_first_and_leaves_the_source(source, tmp_path):
    before = load(source, DIFFUSION, CPU).state_dict()
    for value in (1.0, 2.0):
        new = torch.full_like(before["proj_out.bias"], value)
        write_checkpoint(source, tmp_path, DIFFUSION, {"proj_out.bias": new})
    assert set(load(tmp_path, DIFFUSION, CPU).proj_out.bias.tolist()) == {2.0}
    assert torch.equal(load(source, DIFFUSION, CPU).proj_out.bias, before["proj_out.bias"])


def test_what_does_not_fit_is_refused(source, tmp_path):
    with pytest.raises(GLMImageError, match="must be another folder"):
        write_checkpoint(source, source / ".", DIFFUSION, {})
    with pytest.raises(GLMImageError, match=r"extra must have the shape \[1\].*got none"):
        write_checkpoint(source, tmp_path, DIFFUSION, {"extra": torch.zeros(1)})
    with pytest.raises(GLMImageError, match=r"proj_out.bias must have the shape \[1\].*got \[64\]"):
        write_checkpoint(source, tmp_path, DIFFUSION, {"proj_out.bias": torch.zeros(1)})
    with pytest.raises(GLMImageError, match="must be in the released layout"):
        write_checkpoint(tmp_path / "none", tmp_path, DIFFUSION, {})
