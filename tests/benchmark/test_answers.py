"""Answers about pictures: who is asked what, and what is kept."""

import json

import pytest

from glm_core.benchmark import OneIGText, Reader, measure
from glm_core.benchmark.answers import FILE, ask_all
from glm_core.errors import GLMImageError
from glm_core.services import Answer
from tests.support.benchmarks import write_oneig, write_picture

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
NAMES = {RED: "red", GREEN: "green", BLUE: "blue", BLACK: "black"}


class Asked(list):
    """A reader that answers with the colour of an image, and what it was asked."""

    def reader(self, name="a", at_once=1, fails_at=None):
        def answer(image, question):
            if len(self) == fails_at:
                raise GLMImageError("the server went away")
            self.append(NAMES[image.getpixel((0, 0))])
            return Answer(self[-1], f"model {name}")

        return Reader(name, answer, at_once)


@pytest.fixture
def cases(tmp_path):
    return OneIGText().read(write_oneig(tmp_path / "data", ["['red']", "['blue']"]))


@pytest.fixture
def folder(tmp_path):
    write_picture(tmp_path / "000.webp", RED, GREEN, BLUE, RED)
    write_picture(tmp_path / "001.png", BLUE, BLACK, BLACK, GREEN)
    return tmp_path


def texts(answers):
    return [[answer.text for image in images for answer in image] for images in answers]


EVERY = [["red", "green", "blue", "red"], ["blue", "green"]]  # without the black ones


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_every_image_that_is_not_black_is_asked_about(cases, folder, at_once):
    asked = Asked()
    assert texts(ask_all(OneIGText(), cases, folder, asked.reader(at_once=at_once), False)) == EVERY
    assert sorted(asked) == sorted(sum(EVERY, []))


def test_kept_answers_are_used_only_if_wanted(cases, folder):
    for reuse, expected in ((False, 6), (True, 0), (False, 6)):
        asked = Asked()
        assert texts(ask_all(OneIGText(), cases, folder, asked.reader(), reuse)) == EVERY
        assert len(asked) == expected


def test_what_was_answered_before_a_failure_is_kept(cases, folder):
    with pytest.raises(GLMImageError, match="went away"):
        ask_all(OneIGText(), cases, folder, Asked().reader(fails_at=3), False)
    with (folder / FILE).open("a") as file:
        file.write('{"picture": "000.w')  # as if killed while writing
    asked = Asked()
    assert texts(ask_all(OneIGText(), cases, folder, asked.reader(), True)) == EVERY
    assert len(asked) == 3


def test_answers_of_another_reader_or_picture_are_not_used(cases, folder):
    ask_all(OneIGText(), cases, folder, Asked().reader("a"), False)
    write_picture(folder / "000.webp", GREEN, GREEN, GREEN, GREEN)
    asked = Asked()
    assert texts(ask_all(OneIGText(), cases, folder, asked.reader("a"), True))[0] == ["green"] * 4
    assert len(asked) == 4
    asked = Asked()
    ask_all(OneIGText(), cases, folder, asked.reader("b"), True)
    assert len(asked) == 6


@pytest.mark.parametrize("line, message", [("[]", "must be a JSON object"), ("{}", "must be an answer")])
def test_another_file_in_its_place_is_refused(cases, folder, line, message):
    (folder / FILE).write_text(line + "\n")
    with pytest.raises(GLMImageError, match=f"line 1: {message}"):
        ask_all(OneIGText(), cases, folder, Asked().reader(), True)


def test_lines_say_which_picture_and_model(cases, folder):
    ask_all(OneIGText(), cases[:1], folder, Asked().reader("a"), False)
    first, *_ = (folder / FILE).read_text().splitlines()
    values = json.loads(first)
    assert (values["picture"], values["cell"], values["reader"], values["model"], values["text"]) == (
        "000.webp", 0, "a", "model a", "red")


def test_the_outcome_names_the_model_and_the_notes(cases, folder):
    outcome = measure(OneIGText(), cases, folder, Asked().reader(), False)
    assert outcome.reader == "model a"
    assert outcome.figures["CR"] == pytest.approx(3 / 6)
    assert "Qwen2.5-VL-7B-Instruct" in outcome.notes[0]
    assert any(note.startswith("as in the official code: line breaks") for note in outcome.notes)


def test_a_missing_picture_is_named(cases, folder):
    (folder / "001.png").unlink()
    with pytest.raises(GLMImageError, match=r"001\.webp: the picture must be there"):
        ask_all(OneIGText(), cases, folder, Asked().reader(), False)
