"""Picture files: finding, cutting, joining."""

import numpy as np
import pytest
from PIL import Image

from glm_core.benchmark.base import Case
from glm_core.benchmark.pictures import find_picture, is_black, join, read_cells, save_picture, split
from glm_core.errors import GLMImageError
from tests.support.benchmarks import write_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def colours(images):
    return [image.getpixel((image.width // 2, image.height // 2)) for image in images]


def test_four_images_stand_row_by_row(tmp_path):
    path = write_picture(tmp_path / "a.png", RED, GREEN, BLUE, WHITE)
    images = read_cells(path, 4)
    assert colours(images) == [RED, GREEN, BLUE, WHITE] and {image.size for image in images} == {(8, 8)}
    assert np.array_equal(join(images), Image.open(path))


def test_an_odd_pixel_at_the_edge_is_dropped():
    assert {image.size for image in split(Image.new("RGB", (9, 7)), 4)} == {(4, 3)}


def test_webp_is_written_without_loss(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    save_picture(picture, tmp_path / "folder" / "000.webp")
    assert np.array_equal(Image.open(tmp_path / "folder" / "000.webp").convert("RGB"), picture)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["000.webp"]


def test_a_picture_is_found_under_other_suffixes_but_only_one(tmp_path):
    case = Case("folder/000.webp", "", 1)
    assert find_picture(tmp_path, case) is None
    jpeg = write_picture(tmp_path / "folder" / "000.jpg", RED)
    assert find_picture(tmp_path, case) == jpeg
    write_picture(tmp_path / "folder" / "000.png", RED)
    with pytest.raises(GLMImageError, match=r"there must be one picture \(got 000\.png, 000\.jpg\)"):
        find_picture(tmp_path, case)


def test_black_is_all_black(tmp_path):
    assert is_black(Image.new("RGB", (2, 2))) and not is_black(Image.new("RGB", (2, 2), (0, 0, 1)))


def test_a_picture_that_is_too_small_for_its_images_is_refused(tmp_path):
    Image.new("RGB", (3, 1)).save(tmp_path / "a.png")
    with pytest.raises(GLMImageError, match=r"a\.png: must have 4 images in it \(got 3x1 pixels\)"):
        read_cells(tmp_path / "a.png", 4)
