"""What ``convert --quantise`` says, needs and takes."""

import json
import ntpath
import re
import subprocess
import sys

import pytest

from glm_core.checkpoint import DIFFUSION, FORMATS, PLANNER, VAE, read_part
from tests.support.command_line import error_line, run
from tests.support.hosts import PACK
from tests.support.tiny import WIDE, write_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model"), WIDE)


def test_the_errors_are_reported(model, tmp_path, capsys):
    assert run("convert", model, tmp_path, "--quantise", "nvfp4") == 0
    lines = capsys.readouterr().out.splitlines()
    for part, kinds, block in ((PLANNER, 6, "language_model.layers."), (DIFFUSION, 6, "transformer_blocks.")):
        start = next(i for i, line in enumerate(lines) if line.startswith(str(tmp_path / part.quantised_file("nvfp4"))))
        whole, by_kind, largest = lines[start + 1 : start + 4]
        (error,) = re.findall(r"^  relative error of the quantised matrices: (0\.\d{4})$", whole)
        assert 0.09 < float(error) < 0.1
        errors = [float(number) for number in re.findall(r"[\w.]+ (0\.\d{4})", by_kind)]
        assert len(errors) == kinds and min(errors) <= float(error) <= max(errors)
        assert re.fullmatch(rf"  largest:( {block}\d+\.[\w.]+ 0\.\d{{4}},?){{3}}", largest)


def test_without_quantising_no_error_is_reported(model, tmp_path, capsys):
    assert run("convert", model, tmp_path) == 0
    assert "relative error" not in capsys.readouterr().out


@pytest.mark.parametrize("name", FORMATS)
def test_the_library_is_asked_for_before_anything_is_written(model, tmp_path, name, capsys, monkeypatch):
    monkeypatch.setattr("glm_core.checkpoint.formats.library.find_spec", lambda package: None)
    assert run("convert", model, tmp_path / "out", "--quantise", name) == 1
    assert "run 'pip install comfy-kitchen'" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_an_old_library_is_refused(model, tmp_path, capsys, monkeypatch):
    monkeypatch.delattr("comfy_kitchen.quantize_w4a8_int8_weight")
    assert run("convert", model, tmp_path / "out", "--quantise", "fp8") == 1
    assert "comfy-kitchen 0.2.31 or later" in error_line(capsys)


PORTABLE = r"C:\ComfyUI_windows_portable"
PORTABLE_PATHS = {  # what the commands for it name, given in the folder of this pack → where that is
    r"..\..\..\python_embeded\python.exe": r"python_embeded\python.exe",
    r"..\..\models\diffusers\GLM-Image": r"ComfyUI\models\diffusers\GLM-Image",
    r"..\..\models": r"ComfyUI\models",
}


def test_the_paths_of_the_portable_version_are_right(capsys):
    for path, place in PORTABLE_PATHS.items():
        joined = ntpath.join(PORTABLE, r"ComfyUI\custom_nodes\glm-image-native", path)
        assert ntpath.normpath(joined) == ntpath.join(PORTABLE, place)
    with pytest.raises(SystemExit):
        run("convert", "--help")
    for text in (capsys.readouterr().out, (PACK / "README.md").read_text(encoding="utf-8")):
        lines = [line for line in text.splitlines() if "hf download" in line or "glm_core convert" in line]
        commands = [line.split() for line in lines if "python_embeded\\" in line]
        assert len(commands) == 2
        assert {word for command in commands for word in command if word.startswith("..")} == PORTABLE_PATHS.keys()


def test_vae_and_diffusion_model_keep_the_colours_of_latents(model, tmp_path):
    """Of the VAE in the folder, which has none in its config."""
    assert run("convert", model, tmp_path) == 0
    colours = {part: read_part(tmp_path / part.file, part).config.get("latents_rgb") for part in (VAE, DIFFUSION)}
    assert len(colours[VAE]) == 51 and colours[DIFFUSION] == colours[VAE]
    assert "latents_rgb" not in read_part(model / VAE.folder, VAE).config


MEASURE = """
import ctypes, json, sys, threading
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from glm_core.checkpoint import DIFFUSION, Weights
from glm_core.checkpoint.convert import write_part_file

def own_memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024

def most_memory(format_name):
    write_part_file(target, first, DIFFUSION, format_name)  # loads what stays
    ctypes.CDLL(None).malloc_trim(0)
    start, most, done = own_memory(), 0, threading.Event()

    def watch():
        nonlocal most
        while not done.wait(0.002):
            most = max(most, own_memory())

    thread = threading.Thread(target=watch)
    thread.start()
    write_part_file(target, weights, DIFFUSION, format_name)
    done.set()
    thread.join()
    return most - start, target.stat().st_size

source, target, count, rows, columns = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6])
save_file({f"transformer_blocks.{i}.ff.net.2.weight": torch.full((rows, columns), 0.5, dtype=torch.bfloat16)
           for i in range(count)}, source)
weights = Weights(load_file(source), {}, "test", {})
first = Weights(dict(list(weights.tensors.items())[:1]), {}, "test", {})
print(json.dumps([most_memory(format_name) for format_name in sys.argv[6:]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_matrix_at_a_time_is_in_memory(tmp_path):
    """Beside the mapped source; the file that is written has 100 of them."""
    count, rows, columns = 100, 512, 1024
    command = [sys.executable, "-c", MEASURE, tmp_path / "source.safetensors", tmp_path / "target.safetensors",
               *(str(number) for number in (count, rows, columns)), "fp8", "int8"]
    measured = subprocess.run(command, cwd=PACK, capture_output=True, text=True, check=True)
    for most, written in json.loads(measured.stdout):
        assert written > count * rows * columns and most < written / 2
