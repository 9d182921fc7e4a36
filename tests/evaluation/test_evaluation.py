import json
import random
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from glm_core.__main__ import main
from glm_core.errors import GLMImageError
from glm_core.evaluation import WITHOUT, ocr
from glm_core.evaluation.metrics import edit_distance, normalise, pair_words, similarity
from glm_core.evaluation.ocr import Box, make_reader, read_words
from glm_core.evaluation.run import draw_pictures, measure, summary
from glm_core.evaluation.suites.shapes import kind_of, regions, seen_kinds
from glm_core.evaluation.tasks import Task, read_tasks
from glm_core.pipeline import Place
from glm_core.pipeline.sheet import CAPTION_FONTS, CELL, caption_font, contact_sheet, wrap
from glm_core.posters.scene import COLUMNS, ROWS, SHAPES, Item, Poster, caption, draw_poster, font, on_grid, random_poster
from tests.support.fonts import is_installed
from tests.support.tiny import write_checkpoint

WORDS = st.text(alphabet="ABCO2", max_size=8)
with_ocr = pytest.mark.skipif(not all(map(find_spec, ("rapidocr", "onnxruntime"))), reason="rapidocr and onnxruntime are not installed")


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_metric(a, b, c):
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
    assert 0 <= similarity(a, b) <= 1


@given(WORDS, WORDS, WORDS)
def test_edit_distance_counts_what_is_put_in(a, b, c):
    assert edit_distance(a + c, a + b + c) == len(b)


def test_edit_distance_of_known_words():
    assert edit_distance("KITTEN", "SITTING") == 3
    assert similarity("OPEN", "OPFN") == 0.75


@given(st.text(alphabet=st.characters(max_codepoint=126)))
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text) == normalise(text.lower()) == normalise(f" {text}!")


@pytest.mark.parametrize("text, expected", [
    ("H e l l o,", "HELLO"), ("O0 1I|", "OOIII"), ("ＦＩ\uff17", "FI7"), ("Käse", "KÄSE"), ("你好！", "你好"), ("+ - ■", ""),
])
def test_normalise(text, expected):
    assert normalise(text) == expected


@given(st.lists(WORDS.filter(bool), max_size=5), st.randoms())
def test_words_are_found_in_any_order(words, rng):
    shuffled = rng.sample(words, len(words))
    assert all(word.right and word.ned == 1 for word in pair_words(words, shuffled))


def test_a_read_word_serves_one_wanted_word():
    first, second, third = pair_words(["OPEN", "OPEN", "SALE"], ["OPEN", "SALT", "XX"])
    assert (first.read, second.read, third.read) == ("OPEN", "", "SALT")
    assert (first.right, second.right, third.right) == (True, False, False)
    assert (first.ned, second.ned, third.ned) == (1, 0, 0.75)


def boxes(*texts, y=10.0):
    """Boxes whose letters stand where they stand in the text, 10 pixels a character and 15 a blank."""
    found, x = [], 0.0
    for text in texts:
        centres = []
        for character in text:
            x += 5 if character == " " else 10
            if character != " ":
                centres.append(x)
        found.append(Box(text, tuple(centres), y, 20.0))
        x += 100
    return found


def test_blanks_part_words():
    assert read_words(boxes("GRAND OPENING")) == ["GRAND", "OPENING"]
    assert read_words(boxes("GRAND", "OPENING")) == ["GRAND", "OPENING"]


def test_letters_apart_on_a_grid_are_one_word():
    spaced = Box("WQ A 9", (10, 42, 74, 106), 10, 20)
    assert read_words([spaced]) == ["WQA9"]
    assert read_words([Box("A 9", (74, 106), 12, 20), Box("WQ", (10, 42), 10, 20)]) == ["WQA9"]
    assert read_words([Box("AB", (10, 42), 10, 20), Box("CD", (10, 42), 100, 20)]) == ["AB", "CD"]
    assert read_words([Box("C P", (10, 38), 10, 41)]) == ["CP"]
    assert read_words([Box("GO UP", (10, 42, 106, 138), 10, 38)]) == ["GO", "UP"]
    assert read_words([Box("+", (10,), 10, 20)]) == []


@pytest.fixture(scope="module")
def reader():
    return make_reader()


def task_of(poster: Poster) -> Task:
    return Task(caption(poster), tuple(word.text for word in poster.words), tuple(poster.shapes))


@with_ocr
def test_the_reader_reads_posters(reader):
    rng = random.Random(5)
    posters = [random_poster(rng, lengths=(rng.randint(4, 8),)) for _ in range(16)]
    figures = summary([measure(task_of(poster), draw_poster(poster), reader) for poster in posters])
    assert figures["word_accuracy"] >= 0.9 and figures["ned"] >= 0.95 and figures["shape_accuracy"] >= 0.99


@with_ocr
def test_the_reader_parts_words_and_finds_none_in_an_empty_picture(reader):
    picture = Image.new("RGB", (640, 200), "white")
    assert reader(np.asarray(picture)) == []
    ImageDraw.Draw(picture).text((30, 60), "GRAND OPENING", fill="black", font=font(60))
    assert reader(np.asarray(picture)) == ["GRAND", "OPENING"]


@with_ocr
def test_wrong_words_cost_accuracy(reader):
    poster = Poster("white", (on_grid(Item("black", ("top", "centre"), "COFFEE")),))
    figures = summary([measure(Task("", ("TOFFEE", "BREAD")), draw_poster(poster), reader)])
    assert figures["word_accuracy"] == 0 and figures["ned"] == pytest.approx(5 / 12)


def with_shapes(count: int) -> list[Poster]:
    rng = random.Random(3)
    posters = (random_poster(rng) for _ in range(10 * count))
    return [poster for poster in posters if poster.shapes][:count]


def test_shapes_of_posters_are_seen():
    pairs = [(shape.kind, seen) for poster in with_shapes(60)
             for shape, seen in zip(poster.shapes, seen_kinds(np.asarray(draw_poster(poster)), poster.shapes), strict=True)]
    assert {kind for kind, _ in pairs} == set(SHAPES)
    assert np.mean([kind == seen for kind, seen in pairs]) >= 0.99


def moved(shape: Item) -> Item:
    row, column = shape.zone
    return Item(shape.colour, (ROWS[(ROWS.index(row) + 1) % 3], COLUMNS[(COLUMNS.index(column) + 1) % 3]), kind=shape.kind)


def test_shapes_elsewhere_are_not_seen():
    hits = []
    for poster in with_shapes(40):
        wanted = [moved(shape) for shape in poster.shapes]
        hits += [seen == shape.kind for shape, seen in zip(wanted, seen_kinds(np.asarray(draw_poster(poster)), wanted))]
    assert np.mean(hits) <= 1 / 9


@pytest.mark.parametrize("wanted", [Item("red", ("centre", "left"), kind="square"), Item("blue", ("centre", "left"), kind="circle")])
def test_another_colour_or_kind_is_no_hit(wanted):
    picture = np.asarray(draw_poster(Poster("white", (on_grid(Item("blue", ("centre", "left"), kind="square")),))))
    assert seen_kinds(picture, [wanted]) != [wanted.kind]


@pytest.mark.parametrize("size", [(1024, 1024), (768, 512)])
def test_shapes_are_seen_in_large_noisy_pictures(size):
    wanted = (Item("red", ("top", "left"), kind="triangle"), Item("black", ("bottom", "right"), kind="cross"))
    picture = np.asarray(draw_poster(Poster("white", tuple(map(on_grid, wanted)))).resize(size)).astype(float)
    noisy = (picture + np.random.default_rng(0).normal(0, 25, picture.shape)).clip(0, 255).astype(np.uint8)
    assert seen_kinds(noisy, wanted) == ["triangle", "cross"]


def test_backgrounds_bars_and_specks_are_no_shapes():
    assert seen_kinds(np.full((64, 64, 3), 250, np.uint8), [Item("white", ("centre", "centre"), kind="square")]) == [None]
    mask = np.zeros((144, 144), dtype=bool)
    mask[10:14, 10:60] = mask[100:103, 100:103] = True
    assert list(regions(mask)) == []
    mask[60:90, 60:90] = np.random.default_rng(0).random((30, 30)) < 0.7
    assert [kind_of(region) for region in regions(mask)] in ([], [None])


GOOD = {"prompt": "a 'sign'", "texts": ["sign"], "shapes": [{"kind": "circle", "colour": "red", "zone": ["top", "left"]}]}


def write_lines(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_prompts_are_read(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", GOOD, "", {"prompt": "b", "texts": ["Grand opening", "today!"]})
    first, second = read_tasks(path)
    assert first == Task("a 'sign'", ("sign",), (Item("red", ("top", "left"), kind="circle"),))
    assert second.words == ["GRAND", "OPENING", "TODAY"]
    assert read_tasks(path, 1) == [first]
    (edit,) = read_tasks(write_lines(tmp_path / "edits.jsonl", GOOD | {"images": ["a/b.png", "c.png"]}))
    assert edit.images == (tmp_path / "a" / "b.png", tmp_path / "c.png")


@pytest.mark.parametrize("line, message", [
    ("{", "not JSON"), ([1], 'accepted is an object with "prompt"'), ({"prompt": "a"}, '"texts"'), (GOOD | {"shape": []}, '"shapes"'),
    (GOOD | {"prompt": 3}, "prompt: found 3, accepted is a text"), (GOOD | {"texts": "sign"}, 'texts: found "sign"'),
    (GOOD | {"texts": ["!"]}, "a list of texts with letters"), (GOOD | {"shapes": {}}, "shapes: found {}"),
    (GOOD | {"shapes": [{"kind": "circle"}]}, "shape 1: found"), (GOOD | {"images": "a.png"}, 'images: found "a.png"'),
    (GOOD | {"shapes": [GOOD["shapes"][0] | {"kind": "star"}]}, 'shape 1, kind: found "star", accepted is one of circle'),
    (GOOD | {"shapes": [GOOD["shapes"][0] | {"colour": "grey"}]}, 'colour: found "grey", accepted is one of red'),
    (GOOD | {"shapes": [GOOD["shapes"][0] | {"zone": "top"}]}, 'zone: found "top", accepted is [row, column]'),
    (GOOD | {"shapes": [GOOD["shapes"][0] | {"zone": ["left", "top"]}]}, 'row: found "left", accepted is one of top'),
    (GOOD | {"shapes": [GOOD["shapes"][0] | {"zone": ["top", []]}]}, "column: found []"),
])
def test_bad_lines_are_named(tmp_path, line, message):
    with pytest.raises(GLMImageError) as error:
        read_tasks(write_lines(tmp_path / "bad.jsonl", GOOD, line))
    assert "bad.jsonl, line 2" in str(error.value) and message in str(error.value)


def test_files_without_prompts_are_named(tmp_path):
    with pytest.raises(GLMImageError, match="found no prompts"):
        read_tasks(write_lines(tmp_path / "empty.jsonl", "", ""))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GLMImageError, match="not UTF-8"):
        read_tasks(tmp_path / "binary.jsonl")


def test_captions_fit_below_their_pictures():
    pictures = [Image.new("RGB", size, "red") for size in ((64, 64), (1024, 512), (100, 400))]
    sheet = contact_sheet(pictures, [["short"], ["a rather long prompt " * 20, "read: X"], ["x" * 200]])
    assert sheet.width >= 2 * CELL and sheet.height >= 2 * CELL
    assert all(font(15).getlength(line) <= CELL for line in wrap("MW" * 300, font(15)))


def test_captions_in_chinese_are_written_where_a_font_for_them_is_installed():
    assert caption_font(["plain, é"]).getname() == font(15).getname()
    if not any(map(is_installed, CAPTION_FONTS)):
        pytest.skip(f"none of {', '.join(CAPTION_FONTS)} is installed")
    spring, autumn = (bytes(caption_font(["plain", "春秋"]).getmask(character)) for character in "春秋")
    assert spring != autumn


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model"))


def evaluate(model, prompts, *options):
    return main(["evaluate", "--model", str(model), "--prompts", str(prompts), "--width", "64", "--height", "64", "--steps", "1",
                 *map(str, options)])


@with_ocr
def test_figures_and_sheet_of_a_tiny_checkpoint(model, tmp_path, capsys):
    prompts = write_lines(tmp_path / "a.jsonl", GOOD, {"prompt": "b", "texts": ["two words"]}, GOOD)
    assert evaluate(model, prompts, "--limit", 2, "--json", tmp_path / "a.json", "--sheet", tmp_path / "a.png") == 0
    printed = capsys.readouterr()
    titles, figures = (line.split() for line in printed.out.splitlines())
    assert titles == ["prompts", "words", "word", "accuracy", "NED", "shapes", "shape", "accuracy"]
    assert figures[:2] == ["2", "3"] and figures[4:] == ["1", "0.0000"]
    assert all(f"{part}:" in printed.err for part in ("plan", "encode", "draw", "decode", "read")) and "\x1b" not in printed.err
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["words"] == 3 and data["word_accuracy"] == 0 and data["settings"]["steps"] == 1
    assert [len(picture["words"]) for picture in data["pictures"]] == [1, 2]
    assert data["pictures"][0]["shapes"][0]["right"] is False
    assert Image.open(tmp_path / "a.png").width >= 2 * CELL


def test_pictures_of_a_line_are_edited(model, tmp_path):
    Image.effect_noise((96, 64), 90).save(tmp_path / "noise.png")
    Image.new("RGB", (64, 96), "red").save(tmp_path / "red.png")
    args = SimpleNamespace(model=model, width=64, height=64, steps=1, guidance=1.5, seed=0, without=None)
    drawn = []
    for names in ([], ["noise.png"], ["red.png"], ["noise.png", "red.png"]):
        tasks = [Task("a 'sign'", ("sign",), images=tuple(tmp_path / name for name in names)), Task("b", ())]
        drawn.append([picture.tobytes() for picture in draw_pictures(args, tasks, Place(torch.device("cpu"), torch.float32))])
    edited, others = (set(pictures) for pictures in zip(*drawn))
    assert len(edited) == 4 and len(others) == 1


@with_ocr
def test_without_a_part_other_pictures_are_drawn(model, tmp_path, capsys):
    prompts = write_lines(tmp_path / "a.jsonl", GOOD, {"prompt": "b 'sign'", "texts": ["sign"]})
    pictures = {}
    for part in (None, *WITHOUT):
        assert evaluate(model, prompts, "--sheet", tmp_path / "a.png", *(["--without", part] if part else [])) == 0
        pictures[part] = (tmp_path / "a.png").read_bytes()
    assert len(set(pictures.values())) == 4
    assert "plans shape accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("options, message", [
    (("--steps", 0), "--steps: found 0"), (("--limit", 0), "--limit: found 0"), (("--width", 100), "width: found 100"),
    (("--prompts", "nowhere.jsonl"), "nowhere.jsonl"), (("--model", "nowhere"), "model folder nowhere"),
])
@with_ocr
def test_bad_options_end_with_one_line(model, tmp_path, capsys, options, message):
    assert evaluate(model, write_lines(tmp_path / "a.jsonl", GOOD), *options) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(error) == 1 and message in error[0]


def test_a_missing_reader_is_told_before_anything_is_drawn(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ocr, "find_spec", lambda name: None)
    assert evaluate(model, write_lines(tmp_path / "a.jsonl", GOOD)) == 1
    assert capsys.readouterr().err == "error: evaluate: rapidocr is not installed; pip install rapidocr onnxruntime\n"
