from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from glm_core.errors import GLMImageError
from glm_core.plans import DROPPED, Plan, colours, draw_grid, prior_map


@pytest.fixture
def plan():
    return Plan(torch.arange(12).view(2, 2, 3), torch.arange(8).view(2, 2, 2), "a \"sign\"", 2**63 + 5, (100, 70))


@pytest.mark.parametrize("parts", [{}, {"preview": None}, {"seed": None}, {"source": None}])
def test_saving_keeps_everything(plan, parts, tmp_path):
    kept = replace(plan, **parts)
    kept.save(tmp_path / "plan.safetensors")
    loaded = Plan.load(tmp_path / "plan.safetensors")
    assert torch.equal(loaded.ids, kept.ids)
    assert (loaded.preview is None) == (kept.preview is None)
    assert (loaded.prompt, loaded.seed, loaded.source) == (kept.prompt, kept.seed, kept.source)


def test_prior_map_gives_each_token_4_by_4_latent_pixels(plan):
    prior = prior_map(plan.ids, 8, 12)
    assert prior.shape == (2, 1, 8, 12)
    assert torch.equal(prior[:, 0, ::4, ::4], plan.ids)
    assert torch.equal(prior[:, 0, 3::4, 3::4], plan.ids)


def test_another_latent_size_is_refused(plan):
    with pytest.raises(GLMImageError, match="it is for 96x64 pixels, but the latent is 64x96"):
        prior_map(plan.ids, 12, 8)


@pytest.mark.parametrize("bad", [-1, 16384])
def test_ids_outside_the_codebook_are_refused(plan, bad):
    plan.check_codes(16384)
    plan.ids[0, 0, 0] = bad
    with pytest.raises(GLMImageError, match=f"found id {bad}, accepted are 0 to 16383"):
        plan.check_codes(16384)


@pytest.mark.parametrize("ids", [torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(1, 2, 3)])
def test_other_shapes_and_types_are_refused(ids):
    with pytest.raises(GLMImageError, match=r"plan ids: found .* expected int64 \[B, h, w\]"):
        Plan(ids)


def test_preview_of_another_batch_is_refused(plan):
    with pytest.raises(GLMImageError, match="found 1 items beside 2"):
        Plan(plan.ids, plan.preview[:1])


def test_files_that_are_no_plans_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name, found in (("x", r"found the tensors \['x'\]"), ("text", "cannot be read"), ("missing", "cannot be read")):
        with pytest.raises(GLMImageError, match=f"{name}.safetensors.*{found}"):
            Plan.load(tmp_path / f"{name}.safetensors")


def test_grids_are_drawn_with_a_colour_for_every_id():
    ids = torch.arange(16384)
    assert len(torch.unique((colours(ids) * 255).round(), dim=0)) > 16000
    assert (colours(ids[:-1]) - colours(ids[1:])).abs().sum(-1).min() > 0.1
    image = draw_grid(torch.tensor([[[3, DROPPED], [3, 4]]]), 5)
    assert image.shape == (1, 10, 10, 3)
    assert image[0, :5, 5:].max() == 0 and torch.equal(image[0, 0, 0], image[0, 9, 0])
