"""Many prompts into a folder: generate --prompts and evaluate --pictures, resumed and in parts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glm_core.pipeline import run as pipeline
from tests.support.command_line import error_line, run
from tests.support.tasks import SIGN, write_lines
from tests.support.tiny import small_checkpoint

LINES = [{"prompt": "a 'sign'", "texts": ["sign"], "shapes": []}, {"prompt": "b", "name": "second", "width": 96},
         {"prompt": "c 'sign'"}, {"prompt": "d", "seed": 9, "images": ["noise.png"]}]
NAMES = ["00000.png", "00002.png", "00003.png", "second.png"]
SIZE = "--width", 64, "--height", 64, "--steps", 1


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts")
    Image.effect_noise((96, 64), 90).save(folder / "noise.png")
    return write_lines(folder / "a.jsonl", *LINES)


@pytest.fixture(scope="module")
def whole(model, prompts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "new"
    assert generate(model, prompts, folder) == 0
    return files_of(folder)


def generate(model, prompts, folder, *options):
    return run("generate", "--model", model, "--prompts", prompts, "--out", folder, "--seed", 5, *SIZE, *options)


def evaluate(model, prompts, *options):
    return run("evaluate", "--model", model, "--prompts", prompts, *SIZE, *options)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_line_is_drawn_as_a_command_of_its_own_draws_it(model, prompts, whole, tmp_path, capsys):
    assert list(whole) == NAMES
    commands = {"00000.png": ("a 'sign'", "--seed", 5), "second.png": ("b", "--seed", 6, "--width", 96),
                "00002.png": ("c 'sign'", "--seed", 7),
                "00003.png": ("d", "--seed", 9, "--image", prompts.parent / "noise.png")}
    folder = tmp_path / "together"
    assert generate(model, prompts, folder, "--chunk", 3) == 0
    assert f"{folder / 'second.png'}: 96x64, b" in capsys.readouterr().out.splitlines()
    assert files_of(folder) == whole
    for name, options in commands.items():
        out = tmp_path / name
        assert run("generate", "--model", model, "--out", out, *SIZE, "--prompt", *options) == 0
        assert np.array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(folder / name)))


def test_two_parts_are_the_whole(model, prompts, whole, tmp_path):
    assert generate(model, prompts, tmp_path, "--part", "2/2") == 0
    assert list(files_of(tmp_path)) == ["00003.png", "second.png"]
    assert generate(model, prompts, tmp_path, "--part", "1/2") == 0
    assert files_of(tmp_path) == whole


def test_a_run_is_resumed_where_it_was_interrupted(model, prompts, whole, tmp_path, capsys, monkeypatch):
    decode, decoded = pipeline.decode_pixels, []

    def interrupt_at_third(*arguments):
        decoded.append(arguments)
        if len(decoded) == 3:
            raise KeyboardInterrupt
        return decode(*arguments)

    monkeypatch.setattr(pipeline, "decode_pixels", interrupt_at_third)
    assert generate(model, prompts, tmp_path) == 130
    assert list(files_of(tmp_path)) == ["00000.png", "second.png"]
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert generate(model, prompts, tmp_path, "--resume") == 0
    assert files_of(tmp_path) == whole and {path: path.stat().st_mtime_ns for path in times} == times
    assert "2 of 4 prompts are drawn already" in capsys.readouterr().out
    assert generate(model, prompts, tmp_path, "--resume") == 0
    assert len(decoded) == 5


def test_pictures_of_other_settings_are_not_taken_for_these(model, prompts, tmp_path, capsys):
    assert generate(model, prompts, tmp_path) == 0
    assert generate(model, prompts, tmp_path, "--resume", "--steps", 2) == 1
    assert "to resume, it must be a picture of the same prompt, settings and model (got another)" in error_line(capsys)


def test_pictures_that_are_not_finite_are_named_at_the_end(model, prompts, tmp_path, capsys, monkeypatch):
    decode = pipeline.decode_pixels

    def spoil_wide_ones(vae, latent, compute):
        return decode(vae, latent, compute) * (torch.nan if latent.shape[-1] > 8 else 1)

    monkeypatch.setattr(pipeline, "decode_pixels", spoil_wide_ones)
    assert generate(model, prompts, tmp_path) == 1
    assert f"1 image(s) could not be written, but all others are: {tmp_path / 'second.png'} (the" in error_line(capsys)
    assert list(files_of(tmp_path)) == NAMES[:3]


@pytest.mark.parametrize("line, message", [
    ({}, 'the line must be an object with "prompt" and optionally "name"'), ([], "the line must be an object"),
    ({"prompt": 3}, "prompt must be a string (got 3)"), ({"prompt": "a", "size": 3}, "must be an object"),
    ({"prompt": "a", "width": "64"}, 'width must be an integer (got "64")'),
    ({"prompt": "a", "seed": True}, "seed must be an integer (got true)"),
    ({"prompt": "a", "width": 65}, "width must be a multiple of 32 from 32 to 4096 (got 65)"),
    ({"prompt": "a", "name": "a/b"}, "name must be the name of a file, without a folder"),
    ({"prompt": "a", "name": "x" * 241}, "name must be the name of a file, without a folder, of at most 240 bytes"),
    ({"prompt": "a", "images": "a.png"}, "images must be a list of file names"),
])
def test_bad_lines_are_named(model, tmp_path, capsys, line, message):
    prompts = write_lines(tmp_path / "a.jsonl", {"prompt": "a"}, line)
    assert generate(model, prompts, tmp_path / "out") == 1
    found = error_line(capsys)
    assert f"{prompts}, line 2" in found and message in found and not (tmp_path / "out").exists()


@pytest.mark.parametrize("lines, message", [
    ([{"prompt": "a", "name": "x"}, {"prompt": "b", "name": "X"}], "every image must have a name of its own"),
    ([{"prompt": "a", "name": "\u00e9"}, {"prompt": "b", "name": "e\u0301"}], "image must have a name of its own"),
    ([{"prompt": "a", "name": "x-1"}, {"prompt": "b", "name": "x"}], "every image must have a name of its own"),
    ([{"prompt": "a", "images": ["nowhere.png"]}], "nowhere.png: must be a file (got no such file)"),
])
def test_files_are_checked_before_anything_is_drawn(model, tmp_path, capsys, lines, message):
    prompts = write_lines(tmp_path / "a.jsonl", *lines)
    assert generate(model, prompts, tmp_path / "out", "--batch", 2) == 1
    assert message in error_line(capsys) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("ablation", [(), ("--without", "plan")])
def test_figures_of_kept_pictures_are_those_of_one_run(model, tmp_path, monkeypatch, ablation):
    monkeypatch.setattr("glm_core.cli.evaluate.make_reader", lambda: lambda pixels: [str(pixels.sum())])
    prompts = write_lines(tmp_path / "a.jsonl", SIGN, {"prompt": "b", "texts": ["two words"]}, SIGN)
    pictures, json_file = tmp_path / "pictures", tmp_path / "a.json"
    assert evaluate(model, prompts, "--json", json_file, *ablation) == 0
    alone = json.loads(json_file.read_text())
    for part in ("2/2", "1/2"):
        assert evaluate(model, prompts, "--pictures", pictures, "--part", part, *ablation) == 0
    monkeypatch.setattr(pipeline, "decode_pixels", lambda *arguments: pytest.fail("drawn again"))
    assert evaluate(model, prompts, "--pictures", pictures, "--resume", "--json", json_file, *ablation) == 0
    assert json.loads(json_file.read_text()) == alone and len(list(pictures.iterdir())) == 3
