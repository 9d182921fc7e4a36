import pytest
import torch

from glm_core.plans import Read
from glm_core.vision import SemanticVQ, VisionConfig, tokenize
from tests.support.tiny import Tiny, random_module


@pytest.fixture(scope="module")
def model():
    return random_module(SemanticVQ, VisionConfig.from_json(Tiny().planner(), "tiny"))


@torch.inference_mode()
def test_codebook_rows_are_their_own_nearest(model):
    codes = model.vqmodel.quantize.embedding.weight[None, ::97]
    assert torch.equal(model.vqmodel.quantize(3 * codes), torch.arange(0, 16384, 97)[None])


@torch.inference_mode()
def test_nearest_is_by_angle_not_by_length(model):
    row = model.vqmodel.quantize.embedding.weight[123]
    assert model.vqmodel.quantize(torch.stack((row * 0.001, row * 1000))[None]).tolist() == [[123, 123]]


@torch.inference_mode()
def test_ids_in_bfloat16_come_from_float32_distances(model):
    """Rounded features must be matched exactly as their float32 copies are."""
    features = torch.randn(1, 500, 16, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert torch.equal(model.vqmodel.quantize(features), model.vqmodel.quantize(features.float()))


def test_images_of_a_batch_are_read_alone(model):
    images = torch.rand(2, 512, 544, 3, generator=torch.Generator().manual_seed(2))
    together = tokenize(model, images)
    assert together.ids.shape == (2, 16, 17) and (together.width, together.height) == (544, 512)
    for i in range(2):
        assert torch.equal(tokenize(model, images[i : i + 1]).ids[0], together.ids[i])
    assert together.coarse is None and together.origins == (Read((544, 512)),) * 2
    together.check_codes(16384)
