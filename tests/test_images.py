import numpy as np
import pytest
import torch
from hypothesis import given, settings
from PIL import Image

from glm_core.errors import GLMImageError
from glm_core.geometry import reference_size
from glm_core.images import fit_image, fit_mask, read_image, replace_images, resize, to_rgb
from glm_core.vision import VisionConfig, encoder_pixels
from tests.support.sizes import accepted_sizes
from tests.support.tiny import Tiny

CONFIG = VisionConfig.from_json(Tiny().planner(), "tiny")


@settings(max_examples=25)
@given(accepted_sizes(longest=900))
def test_images_of_any_size_arrive_on_both_sides(size):
    width, height = size
    image = torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(0))
    fitted = reference_size(width, height)
    assert encoder_pixels(image, CONFIG).shape == (1, 3, fitted[1] // 2, fitted[0] // 2)
    assert fit_image(image, *fitted).shape == (1, fitted[1], fitted[0], 3)


def test_alpha_is_dropped_and_grey_repeated():
    image = torch.rand(2, 4, 5, 4)
    assert torch.equal(to_rgb(image), image[..., :3])
    assert torch.equal(to_rgb(image[..., :1]), image[..., :1].repeat(1, 1, 1, 3))
    with pytest.raises(GLMImageError, match=r"the shape must be .* \(got \[2, 4, 5, 2\]\)"):
        to_rgb(image[..., :2])
    with pytest.raises(GLMImageError, match=r"the shape must be .* \(got \[4, 5, 3\]\)"):
        to_rgb(image[0, ..., :3])


def test_eight_bit_images_that_fit_stay_as_they_are():
    image = torch.randint(0, 256, (2, 64, 96, 3)).float() / 255
    assert torch.equal(resize(image, 96, 64, Image.Resampling.LANCZOS), image)


def test_masks_are_resized_with_their_images():
    mask = torch.zeros(1, 100, 200)
    mask[:, :, 100:] = 1
    fitted = fit_mask(mask, 512, 256)
    assert fitted.shape == (1, 256, 512)
    assert fitted[..., :250].max() == 0 and fitted[..., 262:].min() == 1


RAMP = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)


def test_images_of_16_bits_keep_their_range(tmp_path):
    for name in ("deep.png", "deep.tif", "deep.pgm"):
        Image.fromarray(RAMP).save(tmp_path / name)
        read = read_image(tmp_path / name)[0, :, :, 0].numpy()
        assert np.abs(read - RAMP / 65535).max() <= 0.5 / 255 + 1e-6, name


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_images_without_a_known_range_are_refused(dtype, tmp_path):
    Image.fromarray(RAMP.astype(dtype)).save(tmp_path / "deep.tif")
    with pytest.raises(GLMImageError, match="deep.tif: an image must have 8 or 16 bits per channel"):
        read_image(tmp_path / "deep.tif")


def test_images_take_the_place_of_others():
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 3, 3)
    replaced = replace_images(images, [3, 1], torch.tensor([8.0, 9]).view(2, 1, 1, 1).expand(2, 2, 3, 3))
    assert replaced[:, 1, 2, 0].tolist() == [0, 9, 2, 8] and images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("numbers, count, width, message", [
    ([0, 1], 1, 3, r"replacements must have one image for each index \(got 1 images for 2 indices\)"),
    ([4], 1, 3, r"indices must be from 0 to 3, as the batch has 4 images \(got 4\)"),
    ([0], 1, 2, r"must have the images' height, width and channels, \[2, 3, 3\] \(got \[2, 2, 3\]\)"),
])
def test_images_that_cannot_be_replaced_are_named(numbers, count, width, message):
    with pytest.raises(GLMImageError, match=message):
        replace_images(torch.zeros(4, 2, 3, 3), numbers, torch.ones(count, 2, width, 3))
