"""What Windows has otherwise: names, line endings, byte order marks, portable Python, and files that are mapped."""

import ctypes
import json
import subprocess
import sys
from pathlib import PureWindowsPath
from types import SimpleNamespace

import pytest

from glm_core.cli import files
from glm_core.cli.files import check_windows_name, windows_fault
from glm_core.cli.options import report
from glm_core.errors import GLMImageError
from glm_core.evaluation.tasks import read_lines
from glm_core.files import read_json
from glm_core.pipeline import check
from glm_core.plans import Plan
from tests.support.command_line import error_line, run
from tests.support.hosts import PACK
from tests.support.mapped import is_mapped
from tests.support.tiny import small_checkpoint

ODD = "Bilder und Pläne (1) 新年 & 100%"  # a folder's name


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp(ODD) / "GLM Image é")


def test_files_may_have_spaces_and_any_letters(model, tmp_path):
    folder = tmp_path / ODD
    folder.mkdir()
    size = "--width", 96, "--height", 64, "--steps", 1
    first = "--out", folder / "ä b.png", "--plan-out", folder / "Plan 图.png", "--latent-out", folder / "l é"
    assert run("generate", "--model", model, "--prompt", "a", *size, *first) == 0
    second = "--plan-in", folder / "Plan 图.png", "--image", folder / "ä b.png", "--out", folder / "z w.png"
    assert run("generate", "--model", model, "--prompt", "a", "--steps", 1, *second) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(["ä b.png", "Plan 图.png", "l é", "z w.png"])
    assert run("convert", model, folder / "neue Modelle") == 0 and run("check", folder / "neue Modelle") == 0


@pytest.mark.parametrize("name", ["a?.png", "a|b.png", "a:b.png", 'a"b".png', "a<b>.png", "a.png.", "a.png ", "NUL",
                                  "con.png", "Aux .tar.gz", "com1.png", "LPT³"])
def test_names_that_windows_has_not_are_refused(name):
    assert windows_fault(name)


@pytest.mark.parametrize("name", ["a.png", "console.png", "com10.png", "nul-1.png", "新年 é.png", ".png", "a..png"])
def test_other_names_are_taken(name):
    assert windows_fault(name) is None


def test_only_the_name_counts_and_only_on_windows(monkeypatch):
    path = PureWindowsPath(r"C:\my pictures\a*.png")
    check_windows_name("--out", path)
    monkeypatch.setattr(files, "ON_WINDOWS", True)
    check_windows_name("--out", PureWindowsPath(r"C:\my pictures\a.png"))
    check_windows_name("--out", PureWindowsPath(r"..\a.png"))
    with pytest.raises(GLMImageError, match=r"its name must not contain \* on Windows"):
        check_windows_name("--out", path)


def test_bad_names_are_refused_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(files, "ON_WINDOWS", True)
    assert run("generate", "--prompt", "a", "--out", tmp_path / "aux.png") == 1
    assert "its name must not be AUX, a device" in error_line(capsys)
    assert run("convert", "embedded", tmp_path / "models.") == 1
    assert "must not end with a dot" in error_line(capsys) and list(tmp_path.iterdir()) == []


def test_lines_may_end_as_on_windows(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes("\ufeff{\"prompt\": \"新年\"}\r\n\r\n{\"prompt\": \"b\"}\r\n".encode())
    assert read_lines(path) == [(f"{path}, line 1", {"prompt": "新年"}), (f"{path}, line 3", {"prompt": "b"})]


def test_a_model_may_have_files_of_windows(model, tmp_path):
    """Git and editors rewrite line endings and add byte order marks."""
    for path in model.rglob("*.json"):
        copy = tmp_path / path.relative_to(model)
        copy.parent.mkdir(exist_ok=True, parents=True)
        copy.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
        assert read_json(copy) == json.loads(path.read_text(encoding="utf-8"))
    for path in model.rglob("*.safetensors"):
        (tmp_path / path.relative_to(model)).symlink_to(path)
    assert run("check", tmp_path) == 0


def test_the_folder_of_the_pack_is_a_command():
    """As ComfyUI's portable Python needs it: -I leaves the current folder out, as its file ._pth does."""
    command = [sys.executable, "-I", "glm_core", "prompt", "A sign that says 'OPEN'"]
    done = subprocess.run(command, cwd=PACK, capture_output=True, text=True)
    assert done.returncode == 0 and "OPEN" in done.stdout, done.stderr
    command[2:3] = ["-m", "glm_core"]
    assert "No module named" in subprocess.run(command, cwd=PACK, capture_output=True, text=True).stderr


def test_a_closed_pipe_of_windows_does_not_stop_the_work(monkeypatch):
    closed, silenced = OSError(22, "Invalid argument"), []
    monkeypatch.setattr("glm_core.cli.options.tqdm.write", lambda line: (_ for _ in ()).throw(closed))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(fileno=lambda: 1))
    monkeypatch.setattr("os.dup2", lambda *files: silenced.append(files))
    report("a line")
    assert len(silenced) == 1
    closed.errno = 28  # the disk is full
    with pytest.raises(OSError, match="Invalid argument"):
        report("a line")


def test_memory_is_asked_of_windows(monkeypatch):
    def fill(reference) -> None:
        status = reference._obj
        assert status.length == 64  # of the structure in Windows' headers
        status.total = 32 * 2**30

    monkeypatch.setitem(vars(ctypes), "windll",
                        SimpleNamespace(kernel32=SimpleNamespace(GlobalMemoryStatusEx=fill)))
    assert check.windows_memory() == 32 * 2**30


def test_a_loaded_plan_does_not_hold_its_file(model, tmp_path):
    path = tmp_path / "plan.safetensors"
    assert run("generate", "--model", model, "--prompt", "a", "--width", 96, "--height", 64, "--steps", 1, "--out",
               tmp_path / "a.png", "--plan-out", path) == 0
    plan = Plan.load(path)
    assert plan.batch == 1 and not is_mapped(path)
