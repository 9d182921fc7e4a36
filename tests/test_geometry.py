import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.glm_image.image_processing_pil_glm_image import smart_resize

from glm_core.errors import GLMImageError
from glm_core.geometry import check_size, coarse_grid, plan_grids, reference_size, target_grid
from tests.support.sizes import accepted_sizes

sides = st.integers(64, 4096)


@pytest.mark.parametrize("target, coarse", [((32, 36), (15, 16)), ((36, 24), (19, 13)), ((24, 42), (12, 21)),
                                            ((34, 60), (12, 21)), ((1, 1), (16, 16)), ((16, 64), (8, 32)),
                                            ((40, 30), (18, 13))])
def test_coarse_grids_of_upstream(target, coarse):
    assert coarse_grid(*target) == coarse


def test_coarse_grid_equals_upstreams_square_roots_for_every_grid():
    for rows in range(1, 129):
        for columns in range(1, 129):
            ratio = rows / columns
            expected = int(ratio**0.5 * 16), int((1 / ratio) ** 0.5 * 16)
            assert coarse_grid(rows, columns) == expected


def test_an_empty_coarse_grid_is_refused():
    with pytest.raises(GLMImageError, match=r"aspect ratio must be at most 256:1 .* \(got 8224x32 pixels\)"):
        coarse_grid(1, 257)


@pytest.mark.parametrize("width, height, name", [(100, 64, "width"), (64, 33, "height"), (0, 64, "width"),
                                                 (64, 4128, "height")])
def test_sizes_off_the_grid_are_refused(width, height, name):
    side = width if name == "width" else height
    with pytest.raises(GLMImageError, match=rf"{name} must be a multiple of 32 from 32 to 4096 \(got {side}\)"):
        check_size(width, height)


@pytest.mark.parametrize("width, height", [(32, 32), (4096, 4096), (1024, 512)])
def test_sizes_on_the_grid(width, height):
    check_size(width, height)
    assert target_grid(width, height) == (height // 32, width // 32)


def test_grids_of_a_plan():
    assert plan_grids(1152, 1024) == ((32, 36), (15, 16))
    with pytest.raises(GLMImageError, match="width must be a multiple of 32"):
        plan_grids(100, 64)


@pytest.mark.parametrize("size, grid", [((512, 512), (16, 16)), ((1000, 1000), (31, 31)), ((1008, 1008), (32, 32)),
                                        ((1920, 1080), (60, 34)), ((300, 300), (16, 16)), ((4096, 4096), (64, 64)),
                                        ((8000, 2000), (64, 16)), ((700, 2500), (18, 64)), ((16, 64), (16, 64)),
                                        ((1280, 720), (40, 22)), ((640, 480), (21, 16)), ((16, 16), (16, 16))])
def test_grids_of_upstream_for_sizes_at_which_it_fails_later(size, grid):
    """Width and height → transformers' own token grid, also where diffusers' latent has another size."""
    assert reference_size(*size) == (grid[0] * 32, grid[1] * 32)


@settings(max_examples=600)
@given(accepted_sizes())
def test_every_size_has_one_size_for_tokens_and_latent(size):
    width, height = size
    fitted = reference_size(width, height)
    tower_height, tower_width = smart_resize(height, width, factor=16, min_pixels=512 * 512, max_pixels=2048 * 2048)
    assert fitted == (2 * tower_width, 2 * tower_height)
    assert all(side % 32 == 0 and 32 <= side <= 2048 for side in fitted)


@settings(max_examples=200)
@given(sides, sides)
def test_wider_images_are_refused(width, height):
    if max(width, height) > 4 * min(width, height):
        with pytest.raises(GLMImageError, match="aspect ratio must be at most 4:1"):
            reference_size(width, height)


@settings(max_examples=200)
@given(accepted_sizes())
def test_fitting_is_idempotent_where_upstream_accepts_the_size(size):
    fitted = reference_size(*size)
    if min(fitted) >= 512 and max(fitted) <= 4 * min(fitted):
        assert reference_size(*fitted) == fitted


def test_a_model_may_have_a_range_of_its_own():
    assert reference_size(256, 256, 256, 256) == (256, 256)
    assert reference_size(300, 150, 256, 512) == (512, 256)


@pytest.mark.parametrize("size, message", [
    ((15, 64), "both sides must be at least 16 pixels (got 15x64)"),
    ((64, 8), "both sides must be at least 16 pixels (got 64x8)"),
    ((100, 401), "the aspect ratio must be at most 4:1 (got 100x401 pixels)"),
    ((2049, 512), "the aspect ratio must be at most 4:1 (got 2049x512 pixels)"),
])
def test_sizes_that_the_model_cannot_read(size, message):
    with pytest.raises(GLMImageError, match=re.escape(message)):
        reference_size(*size)
