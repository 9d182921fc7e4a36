import random

import numpy as np
import pytest

from glm_core.errors import GLMImageError
from glm_core.evaluation.suites.posters import PosterTask, measure, plan_figures, reward, summary, tasks
from glm_core.posters import Item, Poster, draw_poster, on_grid, random_poster
from tests.support.ocr import needs_ocr
from tests.support.tasks import CIRCLE, SIGN, task_of, write_lines

WITH_CIRCLE = Poster("white", (on_grid(Item("red", ("top", "left"), kind="circle")),))
WITH_SQUARE = Poster("white", (on_grid(Item("red", ("top", "left"), kind="square")),))


def read_nothing(pixels: np.ndarray) -> list[str]:
    return []


def test_prompts_are_read(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", SIGN, "", {"prompt": "b", "texts": ["Grand opening", "today!"]})
    first, second = tasks(path)
    assert first == PosterTask("a 'sign'", ("sign",), shapes=(Item("red", ("top", "left"), kind="circle"),))
    assert second.words == ["GRAND", "OPENING", "TODAY"]
    assert tasks(path, 1) == [first]
    assert tasks(write_lines(tmp_path / "b.jsonl", '{"prompt": "a\u2028b", "texts": []}'))[0].prompt == "a\u2028b"
    (edit,) = tasks(write_lines(tmp_path / "edits.jsonl", SIGN | {"images": ["a/b.png", "c.png"]}))
    assert edit.images == (tmp_path / "a" / "b.png", tmp_path / "c.png")


@pytest.mark.parametrize("line, message", [
    ("{", "not valid JSON"), ([1], 'the line must be an object with "prompt"'), ({"prompt": "a"}, '"texts"'),
    (SIGN | {"shape": []}, '"shapes"'), (SIGN | {"prompt": 3}, "prompt must be a string (got 3)"),
    (SIGN | {"texts": "sign"}, '(got "sign")'),
    (SIGN | {"texts": ["!"]}, "texts must be a list of strings with letters"),
    (SIGN | {"shapes": {}}, "shapes must be a list of shapes (got {})"),
    (SIGN | {"shapes": [{"kind": "circle"}]}, 'shape 1 must be an object with "kind"'),
    (SIGN | {"images": "a.png"}, 'images must be a list of file names (got "a.png")'),
    (SIGN | {"shapes": [CIRCLE | {"kind": "star"}]}, "shape 1, kind must be one of circle, square"),
    (SIGN | {"shapes": [CIRCLE | {"kind": "star"}]}, '(got "star")'),
    (SIGN | {"shapes": [CIRCLE | {"colour": "grey"}]}, "colour must be one of red"),
    (SIGN | {"shapes": [CIRCLE | {"colour": "grey"}]}, '(got "grey")'),
    (SIGN | {"shapes": [CIRCLE | {"zone": "top"}]}, 'zone must be [row, column] (got "top")'),
    (SIGN | {"shapes": [CIRCLE | {"zone": ["left", "top"]}]}, 'row must be one of top, centre, bottom (got "left")'),
    (SIGN | {"shapes": [CIRCLE | {"zone": ["top", []]}]}, "column must be one of left, centre, right (got [])"),
])
def test_bad_lines_are_named(tmp_path, line, message):
    with pytest.raises(GLMImageError) as error:
        tasks(write_lines(tmp_path / "bad.jsonl", SIGN, line))
    assert "bad.jsonl, line 2" in str(error.value) and message in str(error.value)


@needs_ocr
def test_the_reader_reads_posters(reader):
    rng = random.Random(5)
    posters = [random_poster(rng, lengths=(rng.randint(4, 8),)) for _ in range(10)]
    figures = summary([measure(task_of(poster), draw_poster(poster), reader) for poster in posters])
    assert figures["word_accuracy"] >= 0.9 and figures["ned"] >= 0.95 and figures["shape_accuracy"] >= 0.99


@needs_ocr
def test_wrong_words_cost_accuracy(reader):
    poster = Poster("white", (on_grid(Item("black", ("top", "centre"), "COFFEE")),))
    figures = summary([measure(PosterTask("", ("TOFFEE", "BREAD")), draw_poster(poster), reader)])
    assert figures["word_accuracy"] == 0 and figures["ned"] == pytest.approx(5 / 12)


def test_the_summary_counts_words_and_shapes_of_all_pictures():
    pictures = [draw_poster(poster) for poster in (WITH_CIRCLE, WITH_SQUARE)]
    results = [measure(task_of(WITH_CIRCLE), picture, read_nothing) for picture in pictures]
    assert summary(results) == {
        "prompts": 2, "words": 0, "word_accuracy": None, "ned": None, "shapes": 2, "shape_accuracy": 0.5}


def test_plan_figures_count_the_shapes_of_the_next_task():
    wanted = [task_of(WITH_CIRCLE), task_of(WITH_SQUARE)]
    assert plan_figures(wanted, [draw_poster(WITH_SQUARE), draw_poster(WITH_CIRCLE)]) == {"plans_shape_accuracy": 1}
    assert plan_figures(wanted, [draw_poster(WITH_CIRCLE), draw_poster(WITH_SQUARE)]) == {"plans_shape_accuracy": 0}


def test_the_reward_is_the_share_of_right_words_and_shapes():
    task = PosterTask("", ("open now", "sale"), shapes=task_of(WITH_CIRCLE).shapes)

    def reward_of(poster: Poster, *read: str) -> float:
        return reward(task, draw_poster(poster), lambda pixels: list(read))

    assert reward_of(WITH_CIRCLE, "NOW", "OPEN", "SALE") == 1
    assert reward_of(WITH_CIRCLE, "OPEN", "SALT", "OTHER") == 0.5
    assert reward_of(WITH_SQUARE, "OPEN") == 0.25
    assert reward_of(WITH_SQUARE) == 0
    assert reward(PosterTask("", ()), draw_poster(WITH_CIRCLE), read_nothing) == 1
