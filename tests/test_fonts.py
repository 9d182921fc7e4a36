from typing import Any

import pytest
from PIL import ImageFont

from glm_core.fonts import INSTALLED, caption_font, has_character, readable, wrap
from tests.support.fonts import is_installed

SIZE = 15
OWN: Any = ImageFont.load_default(SIZE)


def test_lines_are_no_wider_than_asked():
    for text in ("MW" * 300, "some words " * 40, "x", "M" * 3):
        lines = wrap(text, OWN, 100)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert all(OWN.getlength(line) <= 100 for line in lines)


def test_plain_text_is_written_in_pillows_own_font():
    plain: Any = caption_font(["plain text", "2 > 1"], SIZE)
    assert plain.getname() == OWN.getname()


def test_other_characters_are_written_where_a_font_for_them_is_installed():
    if not any(map(is_installed, INSTALLED)):
        pytest.skip(f"none of {', '.join(INSTALLED)} is installed")
    font: Any = caption_font(["plain", "春秋 café ×"], SIZE)
    spring, autumn = (bytes(font.getmask(character)) for character in "春秋")
    assert spring != autumn
    assert readable("春秋 café ×", font) == "春秋 café ×"


@pytest.mark.parametrize("text, shown", [
    ("a  sign\nof two lines", "a sign of two lines"), ("a “春秋” sign", "a “…” sign"), ("春 秋", "… …"), ("", ""),
    ("a\ud800b", "a?b"), ("\U0001f600\u0378", "…"), ("café", "caf…"),
])
def test_characters_that_a_font_lacks_are_left_out(text, shown):
    assert readable(text, OWN) == shown


def test_spaces_count_as_known():
    assert has_character(OWN, " ") and has_character(OWN, "\u3000") and not has_character(OWN, "春")
