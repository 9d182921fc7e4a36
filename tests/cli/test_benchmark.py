"""The benchmark command."""

import json

import pytest
from PIL import Image, ImageDraw

from glm_core.benchmark import Reader
from glm_core.benchmark.pictures import save_picture
from glm_core.posters import load_font
from glm_core.services import Answer
from tests.benchmark.test_dpg import ROWS
from tests.support.benchmarks import write_cvtg, write_dpg, write_longtext, write_oneig, write_picture
from tests.support.command_line import error_line, run
from tests.support.judges import completion, serve_judge
from tests.support.ocr import needs_ocr
from tests.support.tasks import SIGN, write_lines
from tests.support.tiny import small_checkpoint

GREY = 128, 128, 128


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def reads_open(monkeypatch):
    """In place of OCR: every picture shows OPEN."""
    monkeypatch.setattr("glm_core.cli.benchmark.ocr_reader",
                        lambda: Reader("OCR", lambda image, question: Answer("OPEN", "PP-OCR")))


def drawing(model):
    return "--model", model, "--width", 64, "--height", 64, "--steps", 1


def test_pictures_are_drawn_read_and_reported(model, tmp_path, capsys, reads_open):
    data = write_cvtg(tmp_path / "data", ["A sign 'OPEN'.", "Two signs 'OPEN' and 'SHUT'."], ["A sign 'NEW'."])
    assert run("benchmark", "cvtg-2k", "--data", data, "--pictures", tmp_path / "pictures", "--json",
               tmp_path / "a.json", "--report", tmp_path / "a.html", *drawing(model)) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "CVTG-2K: 3 pictures, read by PP-OCR"
    assert "word accuracy 0.5000 0.9116" in lines
    assert "CLIPScore - 0.7877" in lines and "CVTG-Style/3 0.0000 0.2500 1" in lines
    assert any("the published figures were read by PaddleOCR" in line for line in lines)
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["figures"]["word_accuracy"] == 0.5 and written["settings"]["steps"] == 1
    assert [picture["score"] for picture in written["pictures"]] == [1.0, 0.0, 0.5]
    assert (tmp_path / "a.html").read_text().count("<img") == 3
    assert (tmp_path / "pictures" / "CVTG-Style" / "3" / "0.png").is_file()


def test_a_judge_answers_and_is_named(tmp_path, capsys):
    data = write_dpg(tmp_path / "data", ROWS)
    for item in ("first", "park", "sea", "odd"):
        write_picture(tmp_path / "pictures" / f"{item}.png", GREY, GREY, GREY, GREY)
    command = "benchmark", "dpg", "--data", data, "--pictures", tmp_path / "pictures"
    with serve_judge(lambda body: completion("Yes", "a-model/7B")) as judge:
        assert run(*command, "--judge", judge.url) == 0
        assert len(judge.requests) == 4 * (len(ROWS) - 1)
        assert "DPG-Bench: 4 pictures, read by a-model/7B" in capsys.readouterr().out
        assert run(*command, "--judge", judge.url, "--resume") == 0
        assert len(judge.requests) == 4 * (len(ROWS) - 1)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "score 100.0000 84.7800" in lines and "pictures left out 1 -" in lines


def test_without_a_judge_dpg_has_no_figures(tmp_path, capsys):
    write_picture(tmp_path / "pictures" / "sea.png", GREY)
    assert run("benchmark", "dpg", "--data", write_dpg(tmp_path, ROWS[6:8]), "--pictures", tmp_path / "pictures",
               "--copies", 1) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "DPG-Bench: 1 picture, not read" and "score - 84.7800" in lines
    assert "- no figures without --judge" in lines


def test_transcripts_of_a_judge(tmp_path, capsys):
    data = write_longtext(tmp_path, [["OPEN DAILY"]])
    write_picture(tmp_path / "pictures" / "0000_1.png", GREY)
    with serve_judge(lambda body: completion("Open")) as judge:
        assert run("benchmark", "longtext", "--data", data, "--pictures", tmp_path / "pictures", "--copies", 1,
                   "--judge", judge.url, "--limit", 1) == 0
    printed = capsys.readouterr().out
    assert "read by a-served-model" in printed and "0.5000" in printed
    assert "--limit 1: only some of the prompts" in printed


def test_an_interrupted_run_goes_on_only_if_asked(model, tmp_path, capsys, reads_open, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_oneig(tmp_path, ["['OPEN']", "['SHUT']"])
    command = "benchmark", "oneig-text", "--data", data, "--copies", 1, *drawing(model)
    assert run(*command, "--limit", 1) == 0
    first = (tmp_path / "benchmark-oneig-text-en" / "000.webp").read_bytes()
    assert run(*command) == 1
    assert "add --resume to continue that run" in error_line(capsys)
    assert run(*command, "--resume") == 0
    assert (tmp_path / "benchmark-oneig-text-en" / "000.webp").read_bytes() == first
    assert len((tmp_path / "benchmark-oneig-text-en" / "answers.jsonl").read_text().splitlines()) == 2


def test_parts_only_draw(model, tmp_path, capsys, reads_open):
    data = write_cvtg(tmp_path / "data", ["A sign 'OPEN'.", "Two signs 'OPEN' and 'SHUT'."])
    command = "benchmark", "cvtg-2k", "--data", data, "--pictures", tmp_path / "pictures", *drawing(model)
    assert run(*command, "--part", "1/2", "--json", tmp_path / "a.json") == 1
    assert "--json must come without --part" in error_line(capsys)
    for part in ("1/2", "2/2"):
        assert run(*command, "--part", part) == 0
        assert capsys.readouterr().out.count("\n") == 1  # no figures
    assert sorted(path.name for path in (tmp_path / "pictures" / "CVTG" / "2").iterdir()) == ["0.png", "1.png"]
    assert run(*command) == 0
    assert "2 pictures" in capsys.readouterr().out
    assert run(*command[:6], "--part", "1/2") == 0  # nothing is left to draw, so no model is needed


def test_missing_pictures_need_a_model(tmp_path, capsys, reads_open):
    data = write_longtext(tmp_path, [["OPEN"]])
    write_picture(tmp_path / "pictures" / "0000_1.png", GREY)
    assert run("benchmark", "longtext", "--data", data, "--pictures", tmp_path / "pictures") == 1
    message = error_line(capsys)
    assert "--model must be given" in message and "3 of 4" in message and "0000_2.png" in message


def test_posters_are_what_evaluate_does(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("glm_core.cli.evaluate.make_reader", lambda: lambda pixels: ["SIGN"])
    prompts = write_lines(tmp_path / "a.jsonl", SIGN)
    printed = {}
    for name, command in (("short", ["evaluate"]), ("long", ["benchmark", "posters"])):
        assert run(*command, "--prompts", prompts, "--json", tmp_path / f"{name}.json", *drawing(model)) == 0
        printed[name] = capsys.readouterr().out
    assert printed["short"] == printed["long"] and "word accuracy" in printed["long"]
    assert (tmp_path / "short.json").read_text() == (tmp_path / "long.json").read_text()


@pytest.mark.parametrize("options, message", [
    (("--limit", 0), "--limit must be at least 1 (got 0)"), (("--copies", 0), "--copies must be at least 1 (got 0)"),
    (("--judge", "nowhere"), "nowhere: must be a URL of a server"),
    (("--judge", "http://127.0.0.1:9/v1#a", "--judge-timeout", 0),
     "--judge-timeout must be more than 0 and at most 86400 (got 0)"),
    (("--judge", "http://127.0.0.1:9/v1#a", "--judge-at-once", 0), "--judge-at-once must be at least 1 (got 0)"),
    (("--json", "nowhere/a.json"), "nowhere"), (("--data", "nowhere"), "copy textbench/ of X-Omni-Team/X-Omni"),
])
def test_bad_options_end_with_one_line(tmp_path, capsys, options, message):
    data = write_longtext(tmp_path, [["OPEN"]])
    for i in range(1, 5):
        write_picture(tmp_path / "pictures" / f"0000_{i}.png", GREY)
    assert run("benchmark", "longtext", "--data", data, "--pictures", tmp_path / "pictures", *options) == 1
    assert message in error_line(capsys)


@needs_ocr
def test_rapidocr_reads_a_long_text(tmp_path, capsys):
    data = write_longtext(tmp_path, [["OPEN DAILY"]])
    picture = Image.new("RGB", (512, 160), "white")
    ImageDraw.Draw(picture).text((30, 40), "OPEN DAILY", fill="black", font=load_font(60))
    save_picture(picture, tmp_path / "pictures" / "0000_1.png")
    assert run("benchmark", "longtext", "--data", data, "--pictures", tmp_path / "pictures", "--copies", 1) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "text score 1.0000 0.9520" in lines and "read by PP-OCR by rapidocr" in lines[0]


def test_two_prompts_with_one_number_are_refused(tmp_path, capsys, reads_open):
    """Both would be measured in the same picture."""
    data = write_longtext(tmp_path / "data", [["OPEN"]])
    lines = data / "text_prompts.jsonl"
    lines.write_text(f"{lines.read_text()}\n{lines.read_text()}")
    write_picture(tmp_path / "pictures" / "0000_1.png", GREY)
    assert run("benchmark", "longtext", "--data", data, "--pictures", tmp_path / "pictures", "--copies", 1) == 1
    assert "every prompt must have a number of its own (got 2 for 0000_1.png)" in error_line(capsys)
