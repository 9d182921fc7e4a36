"""A fixture for machines without the Chinese fonts."""

import pytest
from PIL import ImageFont

from glm_core.posters import CHINESE_FONTS, draw
from tests.support.fonts import is_installed


@pytest.fixture(autouse=not all(map(is_installed, CHINESE_FONTS.values())))
def boxes_for_characters(monkeypatch):
    """Draw Chinese characters as empty boxes, which is enough for every test that does not read them."""
    monkeypatch.setattr(draw, "load_font", lambda size, *face: ImageFont.load_default(size))
