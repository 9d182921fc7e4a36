"""Every command prints on consoles that have few characters: of Western Europe, of China, and ASCII."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from glm_core.cli import COMMANDS
from tests.support.command_line import run
from tests.support.hosts import PACK
from tests.support.tasks import SIGN, write_lines
from tests.support.tiny import small_checkpoint

ENCODINGS = "cp1252", "cp936", "cp437", "ascii"
PROMPT = 'Ein „Schild“ ≥ 3 × 新年 · é 😀 "OPEN" …'
SIZE = "--width", 64, "--height", 64, "--steps", 1


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("新年 é"))


@contextmanager
def console(encoding: str) -> Iterator[io.BytesIO]:
    """What both streams write. Python's own standard error never fails, its standard output does."""
    written = io.BytesIO()
    out = io.TextIOWrapper(written, encoding, write_through=True)
    errors = io.TextIOWrapper(written, encoding, "backslashreplace", write_through=True)
    with redirect_stdout(out), redirect_stderr(errors):
        yield written
    out.detach(), errors.detach()  # else they close it


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", [None, *(command.__name__.split(".")[-1] for command in COMMANDS)])
def test_help(encoding, command):
    with console(encoding) as written, pytest.raises(SystemExit) as ended:
        run(*filter(None, [command]), "--help")
    assert ended.value.code == 0 and b"usage:" in written.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_generate(encoding, model, tmp_path):
    files = "--out", tmp_path / "新年 é.png", "--plan-out", tmp_path / "plan.png", "--sheet", tmp_path / "s.png"
    with console(encoding) as written:
        assert run("generate", "--model", model, "--prompt", PROMPT, *SIZE, *files) == 0
    assert b"OPEN" in written.getvalue() and b"draw" in written.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("options", [(), ("--instructions",), ("--original", '"新店"')])
def test_prompt(encoding, options):
    with console(encoding) as written:
        assert run("prompt", PROMPT, *options) == (0 if options == ("--instructions",) else 1)
    assert b"OPEN" in written.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_evaluate(encoding, model, tmp_path, monkeypatch):
    monkeypatch.setattr("glm_core.cli.evaluate.make_reader", lambda: lambda picture: [])
    prompts = write_lines(tmp_path / "prompts.jsonl", SIGN | {"prompt": PROMPT, "texts": ["新年"]})
    scores = tmp_path / "scores.json"
    with console(encoding):
        assert run("evaluate", "--model", model, "--prompts", prompts, *SIZE, "--json", scores) == 0
    assert json.loads(scores.read_bytes().decode("utf-8"))["pictures"][0]["prompt"] == PROMPT


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_convert_check_and_errors(encoding, model, tmp_path):
    with console(encoding) as written:
        assert run("convert", model, tmp_path / "模型 ≥") == 0 and run("check", tmp_path / "模型 ≥") == 0
        assert run("check", tmp_path / "没有 ≥ é") == 1
    assert b"whole" in written.getvalue() and b"error: " in written.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS[:2])
def test_a_real_console(encoding):
    command = [sys.executable, "-m", "glm_core", "prompt", PROMPT, "--instructions"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=PACK, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert ("é" if encoding == "cp1252" else "新年") in done.stdout.decode(encoding)
