"""Every bad command line ends in one line that says what must hold, before any part is loaded, and writes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from glm_core.checkpoint import convert
from glm_core.pipeline import parts
from glm_core.plans import DROPPED, Plan, save_plan_image
from tests.support.command_line import run
from tests.support.hosts import PACK
from tests.support.pictures import blobs
from tests.support.tasks import SIGN, write_lines
from tests.support.tiny import small_checkpoint

SEED_RANGE = "--seed must be from 0 to 18446744073709551615"
GENERATE = [  # options after a good command, what the line says
    ("--out {t}/nowhere/a.png", "its folder {t}/nowhere must exist and be a folder (got none)"),
    ("--out {t}/text.png/a.png", "its folder {t}/text.png must exist and be a folder (got a file)"),
    ("--out {t}/folder.png", "--out {t}/folder.png: it must be a file (got a folder)"),
    ("--out {t}/pipe.png", "it must be a file (got a pipe, device or socket)"),
    ("--out {t}/a", "its suffix must be that of pictures that Pillow writes, such as .png, .jpg or .webp (got none)"),
    ("--out {t}/a.safetensors", "(got .safetensors)"),
    ("--out {t}/a.svg", "(got .svg)"),
    ("--out {t}/a.psd", "(got .psd)"),
    ("--out {t}/a.ico", "(got .ico)"),
    ("--out {t}/a.xbm", "(got .xbm)"),
    ("--out {t}/a.hdf", "(got .hdf)"),
    ("--out {t}/.png", "(got none)"),
    ("--out {t}/a.png{nul}.png", "--out must be a name without NUL characters"),
    ("--out {t}/{long}.png", "File name too long"),
    ("--out=", "--out .: its suffix"),
    ("--out {t}/folder-1.png --batch 2 --sheet {t}/folder-1-1.png", "it must be another file than that of --out"),
    ("--out {t}/pipe.png --batch 2", "it must be a file"),
    ("--out {t}/b.png --batch 2", "--out {t}/b-1.png: it must be a file (got a folder)"),
    ("--out {t}/picture.png --image {t}/picture.png", "--out {t}/picture.png: it must be another file than that of "
                                                      "--image (got the same)"),
    ("--out {t}/hard_link.png --image {t}/picture.png", "it must be another file than that of --image"),
    ("--out {t}/link.png --image {t}/picture.png", "it must be another file than that of --image"),
    ("--sheet {t}/a.png", "--sheet {t}/a.png: it must be another file than that of --out (got the same)"),
    ("--sheet {t}/folder/../a.png", "it must be another file than that of --out (got the same)"),
    ("--sheet {t}/a-1.png --batch 2", "it must be another file than that of --out (got the same)"),
    ("--sheet {t}/a-1.png --prompt b", "it must be another file than that of --out (got the same)"),
    ("--sheet {t}/nowhere/s.png", "--sheet {t}/nowhere/s.png: its folder"),
    ("--sheet {t}/s.txt", "--sheet {t}/s.txt: its suffix"),
    ("--sheet {t}/folder.png", "--sheet {t}/folder.png: it must be a file (got a folder)"),
    ("--plan-out {t}/nowhere/p.safetensors", "--plan-out {t}/nowhere/p.safetensors: its folder"),
    ("--plan-out {t}/folder", "--plan-out {t}/folder: it must be a file (got a folder)"),
    ("--plan-out /dev/null", "--plan-out /dev/null: it must be a file (got a pipe, device or socket)"),
    ("--plan-out {t}/plan.safetensors --plan-in {t}/plan.safetensors", "another file than that of --plan-in"),
    ("--plan-out {t}/p.safetensors --latent-out {t}/p.safetensors", "it must be another file than that of --plan-out"),
    ("--plan-out {t}/a.png", "it must be another file than that of --out"),
    ("--plan-out {t}/p.safetensors --prompt b", "--plan-out takes exactly one --prompt (got 2)"),
    ("--latent-out {t}/nowhere/l.safetensors", "--latent-out {t}/nowhere/l.safetensors: its folder"),
    ("--latent-out {t}/folder", "--latent-out {t}/folder: it must be a file (got a folder)"),
    ("--latent-out {t}/noise.safetensors --noise-in {t}/noise.safetensors", "another file than that of --noise-in"),
    ("--plan-in {t}/plan.safetensors --width 128", "--width must be 96, as --plan-in has it, or be left out (got 128)"),
    ("--plan-in {t}/plan.safetensors --height 96", "--height must be 64, as --plan-in has it, or be left out (got 96)"),
    ("--plan-in {t}/plan.safetensors --batch 2", "--batch must be 1, as --plan-in has it, or be left out (got 2)"),
    ("--plan-in {t}/two.safetensors --batch 1", "--batch must be 2, as --plan-in has it, or be left out (got 1)"),
    ("--plan-in {t}/plan.safetensors --prompt b", "--plan-in takes exactly one --prompt (got 2)"),
    ("--plan-in {t}/other_codes.safetensors", "plan: ids must be from 0 to 63 (got 64)"),
    ("--plan-in {t}/padded.safetensors", "plan: all cells must have a token (got 6 without one); fill them with"),
    ("--plan-in {t}/noise.safetensors", "must contain 'ids'"),
    ("--plan-in {t}/nowhere", "plan file {t}/nowhere: must be a file (got no such file)"),
    ("--plan-in {t}/text.png", "plan file {t}/text.png: not a complete safetensors file"),
    ("--plan-in {t}/picture.png", "plan file {t}/picture.png: this PNG carries no plan; mask editors and other"),
    ("--plan-in {t}/photo.jpg", "plan file {t}/photo.jpg: must be a PNG that carries a plan, or a safetensors"),
    ("--plan-in {t}/cut_plan.png", "plan file {t}/cut_plan.png: not a complete PNG file"),
    ("--plan-in {t}/plan.png --width 128", "--width must be 96, as --plan-in has it, or be left out (got 128)"),
    ("--plan-out {t}/p.png --batch 2 --sheet {t}/p-1.png", "it must be another file than that of --plan-out"),
    ("--plan-in {t}/folder", "--plan-in {t}/folder: it must be a file (got a folder)"),
    ("--plan-in {t}/pipe.png", "--plan-in {t}/pipe.png: it must be a file (got a pipe, device or socket)"),
    ("--noise-in {t}/nowhere", "--noise-in {t}/nowhere: must be a file (got no such file)"),
    ("--noise-in {t}/pipe.png", "--noise-in {t}/pipe.png: it must be a file (got a pipe, device or socket)"),
    ("--noise-in {t}/plan.safetensors", "float32 [B, 16, H/8, W/8] (got the tensors ['ids int64'])"),
    ("--noise-in {t}/whole.safetensors", "must contain 'noise', float32 [B, 16, H/8, W/8] (got the tensors ['noise"),
    ("--noise-in {t}/nan.safetensors", "noise must have finite numbers only (got 1 others)"),
    ("--noise-in {t}/inf.safetensors", "noise must have finite numbers only (got 2 others)"),
    ("--noise-in {t}/noise.safetensors --batch 2", "must have the shape [2, 16, 8, 12] to match the plan (got [1, 16"),
    ("--noise-in {t}/noise.safetensors --width 64", "must have the shape [1, 16, 8, 8] to match the plan (got [1, 16"),
    ("--noise-in {t}/noise.safetensors --prompt b", "--noise-in takes exactly one --prompt (got 2)"),
    ("--image {t}/folder", "--image {t}/folder: it must be a file (got a folder)"),
    ("--image {t}/pipe.png", "--image {t}/pipe.png: it must be a file (got a pipe, device or socket)"),
    ("--image /dev/zero", "--image /dev/zero: it must be a file (got a pipe, device or socket)"),
    ("--image {t}/nowhere.png", "nowhere.png: must be a file (got no such file)"),
    ("--image {t}/text.png", "Pillow cannot read this file as an image"),
    ("--image {t}/flat.png", "the aspect ratio must be at most 4:1 (got 900x100 pixels)"),
    ("--image {t}/tiny.png", "both sides must be at least 16 pixels (got 8x20)"),
    ("--image {t}/picture.png --image {t}/tiny.png", "both sides must be at least 16 pixels (got 8x20)"),
    ("--resume", "--resume must come with --prompts (got none)"),
    ("--part 1/2", "--part must come with --prompts (got none)"),
    ("--ray local", "--ray must come with --prompts (got none)"),
    ("--seed -1", f"{SEED_RANGE} (got -1)"),
    ("--seed 18446744073709551616", f"{SEED_RANGE} (got 18446744073709551616)"),
    ("--seed 1" + 30 * "0", f"{SEED_RANGE} (got 1000"),
    ("--guidance nan", "--guidance must be a finite number (got nan)"),
    ("--guidance inf", "--guidance must be a finite number (got inf)"),
    ("--guidance=-inf", "--guidance must be a finite number (got -inf)"),
    ("--guidance 1e999", "--guidance must be a finite number (got inf)"),
    ("--temperature nan", "temperature must be from 0.05 to 2.0 (got nan)"),
    ("--temperature 0", "temperature must be from 0.05 to 2.0 (got 0.0)"),
    ("--top-p nan", "top_p must be from 0.01 to 1.0 (got nan)"),
    ("--top-k 16385", "top_k must be from 1 to 16384 (got 16385)"),
    ("--look-ahead 0", "--look-ahead must be at least 1 (got 0)"),
    ("--steps 0", "--steps must be at least 1 (got 0)"),
    ("--steps -4", "--steps must be at least 1 (got -4)"),
    ("--steps 1001", "--steps must be at most 1000 (got 1001)"),
    ("--steps 1000000000", "--steps must be at most 1000 (got 1000000000)"),
    ("--batch 0", "--batch must be at least 1 (got 0)"),
    ("--best-of 0", "--best-of must be at least 1 (got 0)"),
    ("--batch 2 --best-of 2049", "--batch times --best-of must be at most 4096 (got 4098)"),
    ("--best-of 2 --plan-in {t}/plan.safetensors", "--best-of must be 1 with --plan-in, which needs no planner (got"),
    ("--batch 1000000000", "--batch must be at most 4096 (got 1000000000)"),
    ("--width 0", "width must be a multiple of 32 from 32 to 4096 (got 0)"),
    ("--height -32", "height must be a multiple of 32 from 32 to 4096 (got -32)"),
    ("--width 4128", "width must be a multiple of 32 from 32 to 4096 (got 4128)"),
    ("--width 4096 --height 32", "size: the aspect ratio must be at most 16:1 for this model (got 4096x32 pixels)"),
    ("--prompt {surrogate}", "prompt must be text without unpaired surrogates (got '\\udc80' at character 3)"),
    ("--model {t}/nowhere", "model folder {t}/nowhere: no planner found"),
    ("--model {t}/text.png", "model folder {t}/text.png: no planner found"),
    ("--model {t}/part", "model folder {t}/part: no VAE found"),
]
MALFORMED = [  # whole command lines that argparse refuses
    ("", "the following arguments are required: command"),
    ("paint", "invalid choice: 'paint'"),
    ("generate", "the following arguments are required: --out"),
    ("generate --out {t}/a.png", "one of the arguments --prompt --prompts is required"),
    ("generate --prompt a --prompts {t}/lines.jsonl --out {t}/a", "--prompts: not allowed with argument --prompt"),
    ("generate --prompt a", "the following arguments are required: --out"),
    ("generate --prompt a --out {t}/a.png --steps many", "argument --steps: invalid int value: 'many'"),
    ("generate --prompt a --out {t}/a.png --steps 2.5", "argument --steps: invalid int value: '2.5'"),
    ("generate --prompt a --out {t}/a.png --seed 1e5", "argument --seed: invalid int value: '1e5'"),
    ("generate --prompt a --out {t}/a.png --guidance high", "argument --guidance: invalid float value: 'high'"),
    ("generate --prompt a --out {t}/a.png --dtype float16", "argument --dtype: invalid choice: 'float16'"),
    ("generate --prompt a --out {t}/a.png --colour", "unrecognized arguments: --colour"),
    ("generate --prompt --out {t}/a.png", "argument --prompt: expected one argument"),
    ("generate --prompts {t}/lines.jsonl --out {t}/out --part 1", "--part: must be two numbers such as 2/8 (got '1')"),
    ("generate --prompts {t}/lines.jsonl --out {t}/out --part 3/2", "--part: must be from 1/2 to 2/2 (got 3/2)"),
    ("generate --prompts {t}/lines.jsonl --out {t}/out --part 0/2", "--part: must be from 1/2 to 2/2 (got 0/2)"),
    ("generate --prompts {t}/lines.jsonl --out {t}/out --part a/b", "must be two numbers such as 2/8 (got 'a/b')"),
    ("evaluate", "the following arguments are required: --prompts"),
    ("evaluate --prompts {t}/prompts.jsonl --without decoder", "invalid choice: 'decoder'"),
    ("convert", "the following arguments are required: FOLDER"),
    ("convert {m} {t}/out --part decoder", "argument --part: invalid choice: 'decoder'"),
    ("convert {m} {t}/out --quantise int4", "argument --quantise: invalid choice: 'int4'"),
    ("train", "the following arguments are required: OUT"),
]
EVALUATE = [
    ("--json {t}/prompts.jsonl", "--json {t}/prompts.jsonl: it must be another file than that of --prompts"),
    ("--json {t}/s.png --sheet {t}/s.png", "it must be another file than that of --json (got the same)"),
    ("--json {t}/nowhere/a.json", "its folder {t}/nowhere must exist and be a folder (got none)"),
    ("--json {t}/folder", "--json {t}/folder: it must be a file (got a folder)"),
    ("--sheet {t}/s.json", "--sheet {t}/s.json: its suffix"),
    ("--sheet {t}/nowhere/s.png", "its folder {t}/nowhere must exist"),
    ("--resume", "--resume must come with --pictures (got none)"),
    ("--part 1/2", "--part must come with --pictures (got none)"),
    ("--pictures {t}/out --part 1/2 --json {t}/a.json", "--json must come without --part, which only draws (got both)"),
    ("--pictures {t}/text.png", "--pictures {t}/text.png: it must be a folder, or one that can be made"),
    ("--sheet {t}/picture.png --prompts {t}/edits.jsonl", "another file than that of a reference image (got the same)"),
    ("--prompts {t}/folder", "--prompts {t}/folder: it must be a file (got a folder)"),
    ("--prompts {t}/pipe.png", "--prompts {t}/pipe.png: it must be a file (got a pipe, device or socket)"),
    ("--prompts {t}/nowhere.jsonl", "nowhere.jsonl: must be a file (got no such file)"),
    ("--prompts {t}/surrogate.jsonl", "line 2: prompt must be a string (got \"\\ud800\")"),
    ("--prompts {t}/gone.jsonl", "must be a file (got no such file)"),
    ("--limit 0", "--limit must be at least 1 (got 0)"),
    ("--seed -1", f"{SEED_RANGE} (got -1)"),
    ("--steps 1001", "--steps must be at most 1000 (got 1001)"),
    ("--guidance nan", "--guidance must be a finite number (got nan)"),
    ("--model {t}/part", "model folder {t}/part: no VAE found"),
    ("--width 4096 --height 32", "size: the aspect ratio must be at most 16:1 for this model (got 4096x32 pixels)"),
]
LINES = [  # options after a good command with --prompts
    ("--out {t}/text.png", "--out {t}/text.png: it must be a folder, or one that can be made (got a file at"),
    ("--prompts {t}/pipe.png", "{t}/pipe.png: must be a file (got a device, pipe or socket)"),
    ("--prompts {t}/nowhere.jsonl", "nowhere.jsonl: must be a file (got no such file)"),
    ("--prompts {t}/surrogate.jsonl", "line 2: prompt must be a string (got \"\\ud800\")"),
    ("--chunk 0", "--chunk must be at least 1 (got 0)"),
    ("--planners 2", "--planners must come with --ray (got none)"),
    ("--gpus-per-decoder 0", "--gpus-per-decoder must come with --ray (got none)"),
    ("--ray local --planners 0", "--planners must be at least 1 (got 0)"),
    ("--ray local --gpus-per-planner 1.5", "--gpus-per-planner must be from 0 to 1, or a whole number (got 1.5)"),
    ("--sheet {t}/s.png", "--sheet must come with --prompt (got --prompts)"),
    ("--image {t}/picture.png", "--image must come with --prompt (got --prompts)"),
    ("--plan-in {t}/plan.safetensors", "--plan-in must come with --prompt (got --prompts)"),
    ("--check-text", "--check-text must come with --prompt (got --prompts)"),
    ("--steps 0", "--steps must be at least 1 (got 0)"),
    ("--model {t}/part", "model folder {t}/part: no VAE found"),
    ("--width 4096 --height 32", "size: the aspect ratio must be at most 16:1 for this model (got 4096x32 pixels)"),
]
OTHERS = [
    ("convert {m} {t}/text.png", "OUT {t}/text.png: it must be a folder, or one that can be made (got a file at"),
    ("convert {m} {t}/text.png/out", "OUT {t}/text.png/out: it must be a folder, or one that can be made (got a file"),
    ("convert {m} {t}/out_with_file", "OUT {t}/out_with_file/vae: it must be a folder"),
    ("convert {m} {t}/link_to_nowhere", "(got a link to nowhere at"),
    ("convert {m}", "convert must have either OUT or --publish DIR (got neither)"),
    ("convert {m} {t}/out --publish {t}/other", "convert must have either OUT or --publish DIR (got both)"),
    ("convert {m} --publish {t}/text.png", "--publish {t}/text.png: it must be a folder, or one that can be made"),
    ("convert {m} --publish {m}", "--publish {m}: it must be another folder than FOLDER (got the same)"),
    ("convert {t}/part {t}/out --part vae", "model folder {t}/part: no VAE found"),
    ("convert {m} {m}", "it must be another folder than FOLDER (got the same)"),
    ("convert {m} {m}/vae/..", "it must be another folder than FOLDER (got the same)"),
    ("convert {t}/nowhere {t}/out", "model folder {t}/nowhere: no planner found"),
    ("convert {t}/part {t}/out", "model folder {t}/part: no VAE found"),
    ("train {t}/text.png", "OUT {t}/text.png: it must be a folder, or one that can be made (got a file at"),
    ("train {t}/text.png/out", "it must be a folder, or one that can be made (got a file at"),
    ("train {t}/out_with_file", "OUT {t}/out_with_file/training: it must be a folder"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, model):
    """A folder with good and bad input files."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("folder", "folder.png", "b-1.png"):
        (folder / name).mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "text.png").write_text("hello")
    (folder / "link_to_nowhere").symlink_to(folder / "nowhere")
    write_pictures(folder)
    write_tensors(folder)
    write_lines(folder / "prompts.jsonl", SIGN)
    write_lines(folder / "lines.jsonl", {"prompt": "a"})
    write_lines(folder / "edits.jsonl", SIGN | {"images": ["picture.png"]})
    write_lines(folder / "gone.jsonl", SIGN | {"images": ["nowhere.png"]})
    write_lines(folder / "surrogate.jsonl", SIGN, '{"prompt": "\\ud800", "texts": ["a"]}')
    (folder / "part").mkdir()
    for part in ("vision_language_encoder", "text_encoder", "transformer"):
        (folder / "part" / part).symlink_to(model / part)
    (folder / "out_with_file").mkdir()
    for name in ("vae", "training"):
        (folder / "out_with_file" / name).write_text("")
    return folder


def write_pictures(folder: Path) -> None:
    blobs(320, 200, seed=0).save(folder / "picture.png")
    Image.new("RGB", (900, 100)).save(folder / "flat.png")
    Image.new("RGB", (8, 20)).save(folder / "tiny.png")
    Image.new("RGB", (64, 64)).save(folder / "photo.jpg")
    save_plan_image(Plan(torch.zeros(1, 2, 3, dtype=torch.int64)), folder / "plan.png")
    (folder / "cut_plan.png").write_bytes((folder / "plan.png").read_bytes()[:-20])
    (folder / "link.png").symlink_to(folder / "picture.png")
    (folder / "hard_link.png").hardlink_to(folder / "picture.png")


def write_tensors(folder: Path) -> None:
    for name, batch, code in (("plan", 1, 0), ("two", 2, 0), ("other_codes", 1, 64), ("padded", 1, DROPPED)):
        save_file({"ids": torch.full((batch, 2, 3), code)}, folder / f"{name}.safetensors")
    for name, numbers in (("noise", ()), ("nan", (torch.nan,)), ("inf", (torch.inf, -torch.inf))):
        noise = torch.zeros(1, 16, 8, 12)
        noise.view(-1)[: len(numbers)] = torch.tensor(numbers)
        save_file({"noise": noise}, folder / f"{name}.safetensors")
    save_file({"noise": torch.zeros(1, 16, 8, 12, dtype=torch.int64)}, folder / "whole.safetensors")


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    def fail(*arguments, **named):
        raise AssertionError("loaded before everything was checked")

    for module, name in ((parts, "read_part"), (convert, "read_part")):
        monkeypatch.setattr(module, name, fail)


def fill_in(text: str, place: Path, model: Path) -> str:
    return text.format(t=place, m=model, nul="\0", long=300 * "a", surrogate="ab\udc80")


def listing(folder: Path) -> list:
    return sorted((str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*"))


def check_refused(command: list[str], message: str, code: int, place: Path, model: Path, capsys) -> None:
    before = listing(place), listing(model)
    assert exit_code(command) == code
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ") and fill_in(message, place, model) in line
    assert printed.out == "" and (listing(place), listing(model)) == before


def exit_code(command: list[str]) -> int:
    try:
        return run(*command)
    except SystemExit as end:
        return int(end.code or 0)


def words(text: str, place: Path, model: Path) -> list[str]:
    return [fill_in(word, place, model) for word in text.split()]


def good_generate(place: Path, model: Path) -> list[str]:
    return words("generate --model {m} --prompt a --out {t}/a.png --width 96 --height 64 --steps 1", place, model)


@pytest.mark.parametrize("options, message", GENERATE)
def test_generate(options, message, place, model, nothing_is_loaded, capsys):
    command = good_generate(place, model) + words(options, place, model)
    check_refused(command, message, 1, place, model, capsys)


@pytest.mark.parametrize("options, message", EVALUATE)
def test_evaluate(options, message, place, model, nothing_is_loaded, capsys, monkeypatch):
    monkeypatch.setattr("glm_core.cli.evaluate.make_reader", lambda: None)
    command = words("evaluate --model {m} --prompts {t}/prompts.jsonl --width 64 --height 64", place, model)
    check_refused(command + words(options, place, model), message, 1, place, model, capsys)


@pytest.mark.parametrize("options, message", LINES)
def test_generate_from_a_file(options, message, place, model, nothing_is_loaded, capsys):
    command = words("generate --model {m} --prompts {t}/lines.jsonl --out {t}/out --width 96 --height 64", place, model)
    check_refused(command + words(options, place, model), message, 1, place, model, capsys)


@pytest.mark.parametrize("command, message", OTHERS)
def test_convert_and_train(command, message, place, model, nothing_is_loaded, capsys):
    check_refused(words(command, place, model), message, 1, place, model, capsys)


@pytest.mark.parametrize("command, message", MALFORMED)
def test_malformed_options(command, message, place, model, nothing_is_loaded, capsys):
    check_refused(words(command, place, model), message, 2, place, model, capsys)


@pytest.mark.parametrize("command", [
    "--sheet {t}/folder/s.png", "--plan-out {t}/folder/p.safetensors", "--latent-out {t}/folder/l.safetensors",
    "--out {t}/folder/a.png", "evaluate --model {m} --prompts {t}/prompts.jsonl --json {t}/folder/a.json",
    "convert {m} {t}/folder", "convert {m} {t}/folder/new/out", "train {t}/folder",
])
def test_folders_without_permission(command, place, model, nothing_is_loaded, capsys, monkeypatch):
    """Permissions do not bind root, so the answer of the system is replaced."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "folder" and access(path, mode))
    start = good_generate(place, model) if command.startswith("--") else []
    message = "{t}/folder must be writable (got no permission)"
    check_refused(start + words(command, place, model), message, 1, place, model, capsys)


def test_what_reads_text_is_asked_for_first(place, model, nothing_is_loaded, capsys, monkeypatch):
    monkeypatch.setattr("glm_core.ocr.reader.find_spec", lambda name: None)
    message = "reading text needs rapidocr, which is not installed; run pip install rapidocr onnxruntime"
    check_refused([*good_generate(place, model), "--check-text"], message, 1, place, model, capsys)


def test_train_asks_for_what_it_needs_first(place, model, capsys, monkeypatch):
    monkeypatch.setattr("glm_core.cli.train.find_spec", lambda name: None)
    check_refused(["train", str(place / "out")], "train: matplotlib is not installed", 1, place, model, capsys)
    monkeypatch.delattr(torch.optim, "Muon")
    check_refused(["train", str(place / "out")], "train: torch must be 2.9 or later (got", 1, place, model, capsys)


def test_an_error_of_several_lines_is_one_line(place, model, capsys):
    command = [*good_generate(place, model), "--plan-in", str(place / "two\nlines")]
    check_refused(command, "two lines: must be a file (got no such file)", 1, place, model, capsys)


def test_the_size_of_a_plan_need_not_be_told(place, model, tmp_path):
    """And a size may be told that is the plan's."""
    for name, options in (("a", ()), ("b", ("--width", 96, "--batch", 2))):
        assert run("generate", "--model", model, "--prompt", "a", "--steps", 1, "--plan-in", place / "two.safetensors",
                   "--out", tmp_path / f"{name}.png", *options) == 0
        pictures = [Image.open(tmp_path / f"{name}{end}.png") for end in ("", "-1")]
        assert [picture.size for picture in pictures] == [(96, 64), (96, 64)]


def test_the_largest_seed_goes_on_with_0(model, tmp_path):
    """Plan and noise of prompt 1 are those of seed 0, and so is the plan of picture 1 of a batch."""
    shared = "generate", "--model", model, "--width", 96, "--height", 64, "--steps", 1
    assert run(*shared, "--prompt", "x", "--prompt", "a", "--seed", 2**64 - 1, "--out", tmp_path / "a.png") == 0
    assert run(*shared, "--prompt", "a", "--seed", 0, "--out", tmp_path / "b.png", "--plan-out", tmp_path / "b") == 0
    assert (tmp_path / "a-1.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert run(*shared, "--prompt", "a", "--seed", 2**64 - 1, "--batch", 2, "--out", tmp_path / "c.png",
               "--plan-out", tmp_path / "c") == 0
    plans = [Plan.load(tmp_path / name) for name in "bc"]
    assert plans[0].ids[0].equal(plans[1].ids[1]) and plans[1].origins[1].seed == 0


@pytest.mark.parametrize("given, expected", [(None, "passive"), ("active", "active")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(given, expected):
    """It is decided before torch loads, which reads it."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    program = ("import glm_core.__main__, json, os, sys; "
               "print(json.dumps([os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules]))")
    done = subprocess.run([sys.executable, "-c", program], cwd=PACK, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout) == [expected, False]


def test_only_training_needs_a_later_torch():
    program = "import torch; del torch.optim.Muon; import glm_core.cli; print('ok')"
    done = subprocess.run([sys.executable, "-c", program], cwd=PACK, capture_output=True, text=True)
    assert done.stdout == "ok\n", done.stderr
