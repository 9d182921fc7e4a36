import pytest
from PIL import ImageFont

from glm_core.training import posters

from ..fonts import HAS_CHINESE


@pytest.fixture(autouse=not HAS_CHINESE)
def boxes_for_characters(monkeypatch):
    """Without the Chinese font its characters are drawn as empty boxes, which is enough for all but reading them."""
    monkeypatch.setattr(posters, "font", lambda size, chinese: ImageFont.load_default(size))
