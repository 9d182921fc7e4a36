from typing import Any

import pytest
from PIL import Image

from glm_core.pipeline.sheet import CAPTION_FONTS, CELL, caption_font, contact_sheet, wrap
from glm_core.posters import load_font
from tests.support.fonts import is_installed


def test_captions_fit_below_their_pictures():
    pictures = [Image.new("RGB", size, "red") for size in ((64, 64), (1024, 512), (100, 400))]
    sheet = contact_sheet(pictures, [["short"], ["a rather long prompt " * 20, "read: X"], ["x" * 200]])
    assert sheet.width >= 2 * CELL and sheet.height >= 2 * CELL
    assert all(load_font(15).getlength(line) <= CELL for line in wrap("MW" * 300, load_font(15)))


def test_captions_in_chinese_are_written_where_a_font_for_them_is_installed():
    plain: Any = caption_font(["plain, é"])
    assert plain.getname() == load_font(15).getname()
    if not any(map(is_installed, CAPTION_FONTS)):
        pytest.skip(f"none of {', '.join(CAPTION_FONTS)} is installed")
    chinese: Any = caption_font(["plain", "春秋"])
    spring, autumn = (bytes(chinese.getmask(character)) for character in "春秋")
    assert spring != autumn
