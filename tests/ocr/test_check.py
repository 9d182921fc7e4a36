import numpy as np
import pytest
from PIL import Image, ImageDraw

from glm_core.errors import GLMImageError
from glm_core.ocr import Reading, TextBox, WordResult, annotate, load_ocr, rank_readings, read_picture, wrong_pictures
from glm_core.ocr.check import OTHER, RIGHT
from glm_core.posters import load_font
from tests.support.ocr import needs_ocr

OPEN = TextBox("OPEN", (20.0, 30, 40, 50), 15.0, 12.0)
SOLD = TextBox("SOLD", (20.0, 30, 40, 50), 45.0, 12.0)
PICTURE = np.full((64, 96, 3), 255, np.uint8)


def reading(*words: WordResult) -> Reading:
    return Reading(list(words), [])


def right(word: str) -> WordResult:
    return WordResult(word, word, 1.0)


def test_a_picture_is_compared_with_its_texts():
    found = read_picture(PICTURE, ["Open now", "SOLO"], lambda pixels: [OPEN, SOLD])
    assert found.words == [right("OPEN"), WordResult("NOW", "", 0.0), WordResult("SOLO", "SOLD", 0.75)]
    assert found.accuracy == 1 / 3 and found.similarity == pytest.approx(1.75 / 3)
    assert found.line() == "1 of 3 words right; wrong: NOW (read nothing), SOLO (read SOLD)"


def test_all_words_right_is_one_short_line():
    assert reading(right("OPEN"), right("SALE")).line() == "2 of 2 words right"


@pytest.mark.parametrize("texts", [[], [""], ["…!"]])
def test_a_picture_that_should_show_no_text_is_right(texts):
    found = read_picture(PICTURE, texts, lambda pixels: [OPEN])
    assert (found.accuracy, found.similarity, found.line()) == (1.0, 1.0, "the prompt quotes no text")
    assert wrong_pictures([found]) == []


def test_boxes_are_drawn_round_what_was_found():
    found = read_picture(PICTURE, ["OPEN"], lambda pixels: [OPEN, SOLD])
    drawn = annotate(PICTURE, found)
    assert drawn.shape == PICTURE.shape and drawn.dtype == np.uint8 and PICTURE.min() == 255
    assert tuple(drawn[9, 30]) == RIGHT and tuple(drawn[39, 30]) == OTHER
    assert tuple(drawn[15, 30]) == tuple(drawn[0, 0]) == (255, 255, 255)


def test_text_from_right_to_left_is_framed():
    box = TextBox("OPEN", OPEN.centres[::-1], OPEN.y, OPEN.height)
    found = read_picture(PICTURE, ["OPEN"], lambda pixels: [OPEN])
    assert np.array_equal(annotate(PICTURE, Reading(found.words, [box])), annotate(PICTURE, found))


def test_a_wanted_word_within_a_longer_text_is_right():
    box = TextBox("GO UP", (10, 20, 40, 50), 15.0, 20.0)
    drawn = annotate(PICTURE, read_picture(PICTURE, ["UP"], lambda pixels: [box]))
    assert tuple(drawn[5, 30]) == RIGHT


def test_pictures_with_a_wrong_or_missing_word_are_wrong():
    readings = [reading(right("A")), reading(right("A"), WordResult("B", "", 0.0)), reading(WordResult("A", "H", 0.0))]
    assert wrong_pictures(readings) == [1, 2]


def test_the_best_picture_has_most_words_right_then_similar_then_likely():
    wrong, near = WordResult("SALE", "", 0.0), WordResult("SALE", "SALT", 0.75)
    readings = [reading(wrong), reading(near), reading(right("SALE")), reading(right("SALE")), reading(near)]
    assert rank_readings(readings, [0.0, -2.0, -3.0, -1.0, -2.0]) == [3, 2, 1, 4, 0]


@pytest.mark.parametrize("missing", ["rapidocr", "onnxruntime"])
def test_missing_packages_are_named_in_one_line(monkeypatch, missing):
    monkeypatch.setattr("glm_core.ocr.reader.find_spec", lambda name: None if name == missing else "found")
    with pytest.raises(GLMImageError) as failure:
        load_ocr()
    assert str(failure.value) == (f"reading text needs {missing}, which is not installed; run pip install rapidocr "
                                  "onnxruntime with ComfyUI's Python")


@needs_ocr
def test_a_drawn_word_is_read_and_framed(find_text):
    picture = Image.new("RGB", (640, 200), "white")
    ImageDraw.Draw(picture).text((30, 60), "GRAND OPENING", fill="black", font=load_font(60))
    found = read_picture(np.asarray(picture), ["GRAND", "OPENINGS"], find_text)
    assert found.line() == "1 of 2 words right; wrong: OPENINGS (read OPENING)"
    assert tuple(RIGHT) in {tuple(pixel) for pixel in annotate(np.asarray(picture), found).reshape(-1, 3).tolist()}
