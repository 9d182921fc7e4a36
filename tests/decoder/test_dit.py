import pytest
import torch

from glm_core.decoder import DiTConfig, GLMImageDiT
from glm_core.plans import prior_map
from tests.support.tiny import Tiny, random_module


@pytest.fixture(scope="module")
def dit():
    return random_module(GLMImageDiT, DiTConfig.from_json(Tiny().dit(), "tiny"))


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    plan = torch.randint(0, 16384, (2, 2, 3), generator=generator)
    return {"x": torch.randn(2, 16, 8, 12, generator=generator), "timestep": torch.tensor([900.0, 20.0]),
            "context": torch.randn(2, 5, 48, generator=generator), "prior": prior_map(plan, 8, 12)}


@torch.inference_mode()
def test_items_of_a_batch_are_single_runs(dit, inputs):
    together = dit(**inputs)
    for i in range(2):
        alone = dit(**{name: tensor[i : i + 1] for name, tensor in inputs.items()})
        assert (alone[0] - together[i]).abs().max() <= 1e-5


@torch.inference_mode()
def test_dropping_is_no_plan_and_differs_from_any_plan(dit, inputs):
    dropped = dit(**{**inputs, "prior": torch.full_like(inputs["prior"], -1)})
    assert torch.equal(dropped, dit(**{**inputs, "prior": None}))
    assert (dropped - dit(**inputs)).abs().max() > 1e-3


@torch.inference_mode()
def test_a_plan_may_cover_a_part(dit, inputs):
    half = inputs["prior"].clone()
    half[..., 6:] = -1
    out = dit(**{**inputs, "prior": half})
    assert not torch.equal(out, dit(**inputs)) and out.isfinite().all()


@torch.inference_mode()
def test_odd_latents_are_padded_and_cropped_back(dit, inputs):
    x = inputs["x"][..., :7, :11]
    assert dit(x, inputs["timestep"], inputs["context"]).shape == x.shape


@torch.inference_mode()
def test_size_condition_is_the_images_not_the_crops(dit, inputs):
    whole = torch.tensor([[64, 96]])
    assert torch.equal(dit(**inputs), dit(**inputs, target_size=whole))
    assert not torch.equal(dit(**inputs), dit(**inputs, target_size=2 * whole))


@torch.inference_mode()
def test_a_patch_can_replace_a_block(dit, inputs):
    seen = []

    def patch(args, extra):
        options = args["transformer_options"]
        seen.append((options["block_index"], options["total_blocks"], args["img"].shape[1]))
        return extra["original_block"](args)

    def skip(args, extra):
        return {"img": args["img"], "txt": args["txt"]}

    def patched(second_block):
        replace = {"dit": {("double_block", 1): second_block}}
        return dit(**inputs, transformer_options={"patches_replace": replace})

    plain = dit(**inputs)
    assert torch.equal(patched(patch), plain)
    assert seen == [(1, 2, 24)]
    assert not torch.equal(patched(skip), plain)
