"""The evaluate command."""

import json
from dataclasses import asdict

import pytest
from PIL import Image

from glm_core.evaluation import ABLATIONS
from glm_core.ocr import reader
from glm_core.pipeline.sheet import CELL
from glm_core.planner import Sampling
from tests.support.command_line import error_line, run
from tests.support.ocr import needs_ocr
from tests.support.tasks import SIGN, write_lines
from tests.support.tiny import small_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def read_nothing(monkeypatch):
    """Pictures are drawn, and nothing is read in them."""
    monkeypatch.setattr("glm_core.cli.evaluate.make_reader", lambda: lambda pixels: [])


def evaluate(model, prompts, *options):
    return run("evaluate", "--model", model, "--prompts", prompts, "--width", 64, "--height", 64, "--steps", 1,
               *options)


@needs_ocr
def test_figures_and_sheet_of_a_tiny_checkpoint(model, tmp_path, capsys):
    prompts = write_lines(tmp_path / "a.jsonl", SIGN, {"prompt": "b", "texts": ["two words"]}, SIGN)
    assert evaluate(model, prompts, "--limit", 2, "--json", tmp_path / "a.json", "--sheet", tmp_path / "a.png") == 0
    printed = capsys.readouterr()
    titles, figures = (line.split() for line in printed.out.splitlines())
    assert titles == ["prompts", "words", "word", "accuracy", "NED", "shapes", "shape", "accuracy"]
    assert figures[:2] == ["2", "3"] and figures[4:] == ["1", "0.0000"]
    assert all(f"{part}:" in printed.err for part in ("plan", "encode", "draw", "decode", "read"))
    assert "\x1b" not in printed.err
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["words"] == 3 and data["word_accuracy"] == 0 and data["settings"]["steps"] == 1
    assert [len(picture["words"]) for picture in data["pictures"]] == [1, 2]
    assert data["pictures"][0]["shapes"][0]["right"] is False
    assert Image.open(tmp_path / "a.png").width >= 2 * CELL


def test_the_json_file_holds_all_settings(model, tmp_path, read_nothing):
    prompts = write_lines(tmp_path / "a.jsonl", SIGN)
    options = {"temperature": 1.5, "top_p": 0.5, "top_k": 100, "look_ahead": 4, "guidance": 2.0, "seed": 3, "limit": 1,
               "without": "preview", "device": "cpu"}
    given = [argument for name, value in options.items() for argument in (f"--{name.replace('_', '-')}", value)]
    assert evaluate(model, prompts, "--json", tmp_path / "a.json", "--reference-quotes", *given) == 0
    assert json.loads((tmp_path / "a.json").read_text())["settings"] == asdict(Sampling()) | options | {
        "model": str(model), "prompts": str(prompts), "width": 64, "height": 64, "steps": 1, "reference_quotes": True,
        "dtype": "float32"}


def test_each_ablation_draws_other_pictures(model, tmp_path, capsys, read_nothing):
    prompts = write_lines(tmp_path / "a.jsonl", SIGN, {"prompt": "b 'sign'", "texts": ["sign"]})
    pictures = {}
    for ablation in (None, *ABLATIONS):
        options = ["--without", ablation] if ablation else []
        assert evaluate(model, prompts, "--sheet", tmp_path / "a.png", *options) == 0
        pictures[ablation] = (tmp_path / "a.png").read_bytes()
    assert len(set(pictures.values())) == 4
    assert "plans shape accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("options", [("--top-k", 1), ("--guidance", 4), ("--reference-quotes",)])
def test_drawing_settings_change_the_pictures(model, tmp_path, read_nothing, options):
    prompts = write_lines(tmp_path / "a.jsonl", {"prompt": "it's a 'sign', don't", "texts": ["sign"]})
    for name, more in (("plain", ()), ("changed", options)):
        assert evaluate(model, prompts, "--sheet", tmp_path / f"{name}.png", *more) == 0
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "changed.png").read_bytes()


@pytest.mark.parametrize("options, message", [
    (("--steps", 0), "--steps must be at least 1 (got 0)"), (("--limit", 0), "--limit must be at least 1 (got 0)"),
    (("--look-ahead", 0), "--look-ahead must be at least 1 (got 0)"), (("--top-p", 2), "top_p"),
    (("--width", 100), "width must be a multiple of 32"), (("--prompts", "nowhere.jsonl"), "nowhere.jsonl"),
    (("--model", "nowhere"), "model folder nowhere"),
])
@needs_ocr
def test_bad_options_end_with_one_line_and_an_exit_code(model, tmp_path, capsys, options, message):
    assert evaluate(model, write_lines(tmp_path / "a.jsonl", SIGN), *options) == 1
    assert message in error_line(capsys)


def test_a_missing_ocr_package_is_reported_before_anything_is_drawn(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    assert evaluate(model, write_lines(tmp_path / "a.jsonl", SIGN)) == 1
    assert "reading text needs rapidocr, which is not installed" in error_line(capsys)
