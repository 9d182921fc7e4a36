"""A fixture for machines that lack the Chinese fonts."""

import pytest
from PIL import ImageFont

from glm_core.posters import CHINESE_FONTS, draw
from tests.support.fonts import is_installed


@pytest.fixture(autouse=not all(map(is_installed, CHINESE_FONTS.values())))
def boxes_for_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw Chinese characters as empty boxes, which is enough for all tests that do not read them."""
    monkeypatch.setattr(draw, "load_font", lambda size, *face: ImageFont.load_default(size))
