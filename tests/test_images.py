import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.glm_image.image_processing_pil_glm_image import smart_resize

from glm_core.errors import GLMImageError
from glm_core.images import fit_image, fit_mask, reference_size, resize, to_rgb
from glm_core.vision import VisionConfig, encoder_pixels
from tests.support.tiny import Tiny

CONFIG = VisionConfig.from_json(Tiny().planner(), "tiny")
sides = st.integers(64, 4096)


@st.composite
def accepted_sizes(draw, longest: int = 4096):
    """Width and height from 64 pixels, aspect ratio up to 4."""
    long = draw(st.integers(64, longest))
    short = draw(st.integers(max(64, -(-long // 4)), long))
    return draw(st.permutations((long, short)))


@pytest.mark.parametrize("size, grid", [((512, 512), (16, 16)), ((1000, 1000), (31, 31)), ((1008, 1008), (32, 32)),
                                        ((1920, 1080), (60, 34)), ((300, 300), (16, 16)), ((4096, 4096), (64, 64)),
                                        ((8000, 2000), (64, 16)), ((700, 2500), (18, 64)), ((16, 64), (16, 64)), ((1280, 720), (40, 22)),
                                        ((640, 480), (21, 16)), ((16, 16), (16, 16))])
def test_grids_of_the_reference_for_sizes_at_which_it_fails_later(size, grid):
    """Width and height; transformers' own token grids (golden values), also where diffusers' latent has another size."""
    assert reference_size(*size) == (grid[0] * 32, grid[1] * 32)


@settings(max_examples=600, deadline=None)
@given(accepted_sizes())
def test_every_size_has_one_size_for_tokens_and_latent(size):
    width, height = size
    fitted = reference_size(width, height)
    tower_height, tower_width = smart_resize(height, width, factor=16, min_pixels=512 * 512, max_pixels=2048 * 2048)
    assert fitted == (2 * tower_width, 2 * tower_height)
    assert all(side % 32 == 0 and 32 <= side <= 2048 for side in fitted)


@settings(max_examples=200, deadline=None)
@given(sides, sides)
def test_wider_pictures_are_refused(width, height):
    if max(width, height) > 4 * min(width, height):
        with pytest.raises(GLMImageError, match="aspect ratios up to 4"):
            reference_size(width, height)


@settings(max_examples=200, deadline=None)
@given(accepted_sizes())
def test_fitting_is_idempotent_where_the_reference_accepts_the_size(size):
    fitted = reference_size(*size)
    if min(fitted) >= 512 and max(fitted) <= 4 * min(fitted):
        assert reference_size(*fitted) == fitted


def test_a_model_may_have_a_range_of_its_own():
    assert reference_size(256, 256, 256, 256) == (256, 256)
    assert reference_size(300, 150, 256, 512) == (512, 256)


@settings(max_examples=25, deadline=None)
@given(accepted_sizes(longest=900))
def test_pictures_of_any_size_arrive_on_both_sides(size):
    width, height = size
    image = torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(0))
    fitted = reference_size(width, height)
    assert encoder_pixels(image, CONFIG).shape == (1, 3, fitted[1] // 2, fitted[0] // 2)
    assert fit_image(image, *fitted).shape == (1, fitted[1], fitted[0], 3)


@pytest.mark.parametrize("size, message", [((15, 64), "sides from 16 pixels"), ((64, 8), "sides from 16 pixels"),
                                           ((100, 401), "aspect ratios up to 4"), ((2049, 512), "aspect ratios up to 4")])
def test_sizes_that_the_model_cannot_read(size, message):
    with pytest.raises(GLMImageError, match=f"found {size[0]}x{size[1]} pixels, accepted are {message}"):
        reference_size(*size)


def test_alpha_is_dropped_and_grey_repeated():
    image = torch.rand(2, 4, 5, 4)
    assert torch.equal(to_rgb(image), image[..., :3])
    assert torch.equal(to_rgb(image[..., :1]), image[..., :1].repeat(1, 1, 1, 3))
    with pytest.raises(GLMImageError, match=r"found shape \[2, 4, 5, 2\]"):
        to_rgb(image[..., :2])
    with pytest.raises(GLMImageError, match=r"found shape \[4, 5, 3\]"):
        to_rgb(image[0, ..., :3])


def test_eight_bit_pictures_that_fit_stay_as_they_are():
    image = torch.randint(0, 256, (2, 64, 96, 3)).float() / 255
    assert torch.equal(resize(image, 96, 64, Image.Resampling.LANCZOS), image)


def test_masks_are_resized_with_their_pictures():
    mask = torch.zeros(1, 100, 200)
    mask[:, :, 100:] = 1
    fitted = fit_mask(mask, 512, 256)
    assert fitted.shape == (1, 256, 512)
    assert fitted[..., :250].max() == 0 and fitted[..., 262:].min() == 1
