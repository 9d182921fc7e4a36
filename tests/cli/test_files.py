"""What is finished stays: a write that fails, an interrupt or a closed pipe loses nothing that was there before."""

import io
import os
import signal
import subprocess
import sys

import pytest
from PIL import Image
from safetensors.torch import load_file

from glm_core.cli import generate as command
from glm_core.pipeline import run as pipeline
from glm_core.pipeline.sheet import CELL
from glm_core.plans import Plan
from tests.support.command_line import error_line, run
from tests.support.hosts import PACK
from tests.support.tasks import SIGN, write_lines
from tests.support.tiny import small_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


def arguments(model, folder, *options) -> list[str]:
    files = "--out", folder / "a.png", "--plan-out", folder / "plan", "--latent-out", folder / "latent"
    size = "--width", 96, "--height", 64, "--steps", 1
    return [str(word) for word in ("generate", "--model", model, "--prompt", "a 招牌", *size, *files, *options)]


def fail(*arguments, **named):
    raise OSError("no space left")


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_picture_that_cannot_be_written_does_not_lose_the_others(model, tmp_path, capsys, monkeypatch):
    save = Image.Image.save
    bad = tmp_path / "a.png"
    monkeypatch.setattr(Image.Image, "save",
                        lambda picture, to, *more: fail() if to == bad else save(picture, to, *more))
    assert run(*arguments(model, tmp_path, "--batch", 3, "--sheet", tmp_path / "sheet.png")) == 1
    line = error_line(capsys)
    assert line == f"error: these files could not be written, but all others are: {bad} (no space left)"
    assert names(tmp_path) == ["a-1.png", "a-2.png", "latent", "plan", "sheet.png"]


@pytest.mark.parametrize("module, name, lost", [(command, "contact_sheet", "sheet.png"), (Plan, "save", "plan"),
                                                (command, "save_file", "latent")])
def test_a_file_that_cannot_be_written_does_not_lose_the_pictures(model, tmp_path, capsys, monkeypatch, module, name,
                                                                  lost):
    monkeypatch.setattr(module, name, fail)
    assert run(*arguments(model, tmp_path, "--batch", 2, "--sheet", tmp_path / "sheet.png")) == 1
    assert f"{tmp_path / lost} (no space left)" in error_line(capsys)
    assert names(tmp_path) == sorted({"a.png", "a-1.png", "latent", "plan", "sheet.png"} - {lost})


def test_the_sheet_of_an_evaluation_does_not_wait_for_the_reader(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("glm_core.cli.evaluate.make_reader", lambda: fail)
    prompts, sheet = write_lines(tmp_path / "a.jsonl", SIGN), tmp_path / "sheet.png"
    size = "--width", 64, "--height", 64, "--steps", 1
    assert run("evaluate", "--model", model, "--prompts", prompts, *size, "--sheet", sheet) == 1
    assert error_line(capsys) == "error: no space left" and Image.open(sheet).width >= CELL


def test_plan_and_latent_are_written_before_the_vae_can_fail(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "decode_pixels", fail)
    assert run(*arguments(model, tmp_path)) == 1
    assert error_line(capsys) == "error: no space left"
    assert load_file(tmp_path / "latent")["latent"].shape == (1, 16, 8, 12) and names(tmp_path) == ["latent", "plan"]


def test_pictures_are_written_one_by_one(model, tmp_path, capsys, monkeypatch):
    decode, decoded = pipeline.decode_pixels, []

    def interrupt_at_second(*arguments):
        decoded.append(names(tmp_path))
        if len(decoded) == 2:
            raise KeyboardInterrupt
        return decode(*arguments)

    monkeypatch.setattr(pipeline, "decode_pixels", interrupt_at_second)
    prompts = "--model", model, "--prompt", "a", "--prompt", "b"
    assert run("generate", *prompts, "--width", 64, "--height", 64, "--steps", 1, "--out", tmp_path / "a.png") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; what was written before stays"
    assert decoded == [[], ["a.png"]]


def heed_interrupts() -> None:
    """A shell makes the commands that it runs in the background ignore SIGINT, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_is_one_line_and_exit_code_130(model, tmp_path):
    """A real signal, while a process samples."""
    words = [sys.executable, "-m", "glm_core", *arguments(model, tmp_path, "--steps", 1000)]
    process = subprocess.Popen(words, cwd=PACK, stderr=subprocess.PIPE, preexec_fn=heed_interrupts)
    assert process.stderr is not None
    shown = b""
    while b"draw:" not in shown:
        shown += os.read(process.stderr.fileno(), 4096)
    process.send_signal(signal.SIGINT)
    shown += process.stderr.read()
    assert process.wait(60) == 130
    assert shown.endswith(b"\ninterrupted; what was written before stays\n") and b"Traceback" not in shown
    assert names(tmp_path) == ["plan"]


def test_a_pipe_that_nobody_reads_does_not_stop_the_work(model, tmp_path, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert run(*arguments(model, tmp_path, "--batch", 2)) == 0
    assert names(tmp_path) == ["a-1.png", "a.png", "latent", "plan"]


def test_a_prompt_that_the_terminal_cannot_show_does_not_stop_the_work(model, tmp_path, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    assert run(*arguments(model, tmp_path)) == 0
    assert b"a.png: 96x64, a \\u62db\\u724c" in written.getvalue()
