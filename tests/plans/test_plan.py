from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from glm_core.errors import GLMImageError
from glm_core.plans import DROPPED, Drawn, Edited, Plan, Read, prior_map

DRAWN = Drawn('a "sign"', 2**63 + 5, (96, 64), {"temperature": 0.9, "top_k": 16384}, "0123456789ab")


@pytest.fixture
def plan():
    origins = DRAWN, Edited("crop", (Read((100, 70)), DRAWN))
    return Plan(torch.arange(12).view(2, 2, 3), torch.arange(8).view(2, 2, 2), origins, -torch.rand(2, 10))


@pytest.mark.parametrize("parts", [{}, {"coarse": None, "log_probs": None}, {"origins": ()}, {"log_probs": None},
                                   {"origins": (Read((100, 70)),) * 2}])
def test_saving_keeps_everything(plan, parts, tmp_path):
    kept = replace(plan, **parts)
    kept.save(tmp_path / "plan.safetensors")
    loaded = Plan.load(tmp_path / "plan.safetensors")
    assert loaded.origins == kept.origins
    for name in ("ids", "coarse", "log_probs"):
        before, after = getattr(kept, name), getattr(loaded, name)
        assert (before is None) == (after is None) and (before is None or torch.equal(before, after))


def write_old_file(path, **metadata: str):
    """A plan file as version 0.1 wrote it, with one prompt, seed and source for all items."""
    tensors = {"ids": torch.zeros(2, 2, 3, dtype=torch.int64), "preview": torch.zeros(2, 2, 2, dtype=torch.int64)}
    save_file(tensors, path, metadata={"prompt": "", **metadata})


def test_files_of_0_1_still_load(tmp_path):
    path = tmp_path / "old.safetensors"
    write_old_file(path, prompt="a cat", seed="7")
    assert Plan.load(path).origins == (Drawn("a cat", 7, (96, 64)), Drawn("a cat", 8, (96, 64)))
    write_old_file(path, source="100x70")
    assert Plan.load(path).origins == (Read((100, 70)),) * 2
    write_old_file(path)
    assert Plan.load(path).origins == () and Plan.load(path).coarse.shape == (2, 2, 2)


@pytest.mark.parametrize("origins", ["[", "5", "[5]", '[{"kind": "found"}]', '[{"kind": "read"}]',
                                     '[{"kind": "read", "size": [1]}]',
                                     '[{"kind": "drawn", "size": [1, 2], "colour": "red"}]', '[{"kind": "edited"}]',
                                     '[{"kind": "read", "size": [Infinity, 1]}]', "[" * 100_000])
def test_origins_that_cannot_be_read_are_refused(origins, tmp_path):
    path = tmp_path / "plan.safetensors"
    save_file({"ids": torch.zeros(1, 2, 3, dtype=torch.int64)}, path, metadata={"origins": origins})
    with pytest.raises(GLMImageError, match="plan.safetensors: its origins cannot be read"):
        Plan.load(path)


@pytest.mark.parametrize("metadata", [{"seed": "3.5"}, {"source": "100"}, {"source": "1x2x3"}])
def test_metadata_of_0_1_that_cannot_be_read_are_refused(metadata, tmp_path):
    write_old_file(tmp_path / "old.safetensors", **metadata)
    with pytest.raises(GLMImageError, match="old.safetensors: its origins cannot be read"):
        Plan.load(tmp_path / "old.safetensors")


def test_origins_and_plans_have_hashes(plan):
    assert len({*plan.origins, replace(DRAWN)}) == 2 and hash(plan) == hash(replace(plan))


def test_tensors_of_a_plan_are_not_inference_tensors():
    with torch.inference_mode():
        plan = Plan(torch.zeros(1, 2, 3, dtype=torch.int64), torch.zeros(1, 2, 2, dtype=torch.int64),
                    log_probs=torch.zeros(1, 10))
        moved = plan.to("cpu")
    for tensor in (plan.ids, plan.coarse, plan.log_probs, moved.ids):
        assert not tensor.is_inference()


def test_moving_a_plan_keeps_all_of_it(plan):
    moved = plan.to("meta")
    assert moved.ids.device == moved.coarse.device == moved.log_probs.device == torch.device("meta")
    assert moved.origins == plan.origins


def test_an_edited_plan_names_its_source_and_drops_what_no_longer_holds(plan):
    cropped = plan.edited("crop", plan.ids[:, :1])
    assert cropped.coarse is None and cropped.log_probs is None
    assert cropped.origins == tuple(Edited("crop", (origin,)) for origin in plan.origins)
    assert replace(plan, origins=()).edited("crop", plan.ids).origins == (Edited("crop"),) * 2
    assert torch.equal(plan.edited("crop", plan.ids, plan.coarse).coarse, plan.coarse)


def test_grids_by_their_names_on_the_wire(plan):
    assert torch.equal(plan.grid("target"), plan.ids) and torch.equal(plan.grid("preview"), plan.coarse)
    with pytest.raises(GLMImageError, match="no preview grid; choose grid = target"):
        Plan(plan.ids).grid("preview")


def test_prior_map_gives_each_token_4_by_4_latent_pixels(plan):
    prior = prior_map(plan.ids, 8, 12)
    assert prior.shape == (2, 1, 8, 12)
    assert torch.equal(prior[:, 0, ::4, ::4], plan.ids)
    assert torch.equal(prior[:, 0, 3::4, 3::4], plan.ids)


def test_another_latent_size_is_refused(plan):
    with pytest.raises(GLMImageError, match=r"must have the same size \(got 96x64 and 64x96 pixels\)"):
        prior_map(plan.ids, 12, 8)


def test_cells_without_tokens_are_refused(plan):
    plan.check_complete()
    plan.ids[1, 0, :2] = DROPPED
    message = r"^reference 1: all cells must have a token \(got 2 without one\); fill them with GLM-Image Replan$"
    for check in (plan.check_complete, partial(plan.check_codes, 16384)):
        with pytest.raises(GLMImageError, match=message):
            check(name="reference 1")


@pytest.mark.parametrize("bad", [-2, 16384])
def test_ids_outside_the_codebook_are_refused(plan, bad):
    plan.check_codes(16384)
    plan.ids[0, 0, 0] = bad
    with pytest.raises(GLMImageError, match=rf"ids must be from 0 to 16383 \(got {bad}\)"):
        plan.check_codes(16384)


@pytest.mark.parametrize("ids", [torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(1, 2, 3)])
def test_other_shapes_and_types_are_refused(ids):
    with pytest.raises(GLMImageError, match=r"plan: ids must be int64 \[B, h, w\] \(got "):
        Plan(ids)


@pytest.mark.parametrize("parts, message", [
    ({"coarse": torch.zeros(1, 2, 2, dtype=torch.int64)},
     r"preview grid and ids must have the same batch size \(got 1 and 2\)"),
    ({"origins": (DRAWN,)}, r"origins and ids must have the same batch size \(got 1 and 2\)"),
    ({"log_probs": torch.zeros(1, 6)}, r"log_probs and ids must have the same batch size \(got 1 and 2\)"),
    ({"log_probs": torch.zeros(2, 5)}, r"log_probs must have 6 values per item \(got \[5\]\)"),
    ({"log_probs": torch.tensor(1.0)}, r"log_probs must be float32 \[B, n\] \(got torch.float32 \[\]\)"),
    ({"log_probs": torch.zeros(2, 6).double()}, r"log_probs must be float32 .* \(got torch.float64 \[2, 6\]\)"),
])
def test_parts_of_another_batch_are_refused(plan, parts, message):
    with pytest.raises(GLMImageError, match=message):
        Plan(plan.ids, **parts)


def test_files_that_are_not_plans_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    (tmp_path / "folder.safetensors").mkdir()
    for name, found in (("x", r"must contain 'ids'.*\(got the tensors \['x'\]\)"),
                        ("text", "not a complete safetensors file"), ("folder", r"must be a file \(got a folder\)"),
                        ("missing", r"must be a file \(got no such file\)")):
        with pytest.raises(GLMImageError, match=f"{name}.safetensors.*{found}"):
            Plan.load(tmp_path / f"{name}.safetensors")
