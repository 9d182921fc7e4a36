import numpy as np
from PIL import Image, ImageDraw

from glm_core.ocr import TextBox, read_words
from glm_core.posters import load_font
from tests.support.ocr import needs_ocr


def boxes(*texts, y=10.0):
    """Boxes whose letters are 10 pixels apart, with 5 more pixels for a blank."""
    found, x = [], 0.0
    for text in texts:
        centres = []
        for character in text:
            x += 5 if character == " " else 10
            if character != " ":
                centres.append(x)
        found.append(TextBox(text, tuple(centres), y, 20.0))
        x += 100
    return found


def test_blanks_separate_words():
    assert read_words(boxes("GRAND OPENING")) == ["GRAND", "OPENING"]
    assert read_words(boxes("GRAND", "OPENING")) == ["GRAND", "OPENING"]


def test_letters_spaced_out_on_a_grid_are_one_word():
    spaced = TextBox("WQ A 9", (10, 42, 74, 106), 10, 20)
    assert read_words([spaced]) == ["WQA9"]
    assert read_words([TextBox("A 9", (74, 106), 12, 20), TextBox("WQ", (10, 42), 10, 20)]) == ["WQA9"]
    assert read_words([TextBox("AB", (10, 42), 10, 20), TextBox("CD", (10, 42), 100, 20)]) == ["AB", "CD"]
    assert read_words([TextBox("C P", (10, 38), 10, 41)]) == ["CP"]
    assert read_words([TextBox("GO UP", (10, 42, 106, 138), 10, 38)]) == ["GO", "UP"]
    assert read_words([TextBox("+", (10,), 10, 20)]) == []


@needs_ocr
def test_the_reader_separates_words_and_finds_none_in_an_empty_picture(reader):
    picture = Image.new("RGB", (640, 200), "white")
    assert reader(np.asarray(picture)) == []
    ImageDraw.Draw(picture).text((30, 60), "GRAND OPENING", fill="black", font=load_font(60))
    assert reader(np.asarray(picture)) == ["GRAND", "OPENING"]
