import pytest
from PIL import ImageFont

from glm_core.training import posters
from tests.support.fonts import is_installed


@pytest.fixture(autouse=not all(map(is_installed, posters.CHINESE_FONTS.values())))
def boxes_for_characters(monkeypatch):
    """Without the Chinese font its characters are drawn as empty boxes, which is enough for all but reading them."""
    monkeypatch.setattr(posters, "font", lambda size, *face: ImageFont.load_default(size))
