"""Quantised forms of other tools: read right, or refused by name."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import DIFFUSION, GLYPH, PARTS, PLANNER, VAE, convert_folder, read_part
from glm_core.cli import main
from glm_core.errors import GLMImageError
from glm_core.pipeline.parts import build
from tests.support import schemes
from tests.support.compute import CPU
from tests.support.tiny import small_checkpoint


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def converted(released, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted")
    for name in (None, "fp8", "int8"):
        list(convert_folder(released, out, name))
    return out


def read(path, part):
    """The tensors of a built module, by name."""
    return build(part, read_part(path, part), CPU).state_dict()


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("scheme", schemes.UNKNOWN, ids=lambda scheme: scheme.__name__)
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_unknown_schemes_are_refused_by_name(converted, part, scheme, tmp_path):
    path = schemes.write_scheme(tmp_path / "part.safetensors", part, converted / part.file, scheme)
    layer = schemes.LAYERS[part]
    expected = (rf"^{part.title} {path}: its weights are quantised in a form that cannot be read here \(got "
                rf"{layer}\.\w+, torch\.\w+, without {layer}\.comfy_quant\); it must have ")
    with pytest.raises(GLMImageError, match=expected) as caught:
        read_part(path, part)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folder, where", [(part.folder, where) for part in PARTS for where in ("config", "file")])
def test_folders_of_unknown_tools_are_refused_and_not_converted(released, folder, where, tmp_path, capsys):
    model = shutil.copytree(released, tmp_path / "model")
    if where == "file":  # as SDNQ writes it
        (model / folder / "quantization_config.json").write_text('{"quant_method": "gptq"}')
    else:
        config = json.loads((model / folder / "config.json").read_text())
        (model / folder / "config.json").write_text(json.dumps(config | {"quantization_config": {
            "quant_method": "gptq", "bits": 4}}))
    assert main(["convert", str(model), str(tmp_path / "out")]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert "(got quantization_config with quant_method 'gptq'); it must have " in error
    assert str(model / folder) in error


@pytest.mark.parametrize("prefix, in_marks", [
    ("", ""), (schemes.PREFIX, schemes.PREFIX), (schemes.PREFIX, ""), ("model.", "model.")])
@pytest.mark.parametrize("part", [PLANNER, DIFFUSION], ids=lambda part: part.title)
def test_marks_in_the_metadata_are_found_under_every_prefix(converted, part, prefix, in_marks, tmp_path):
    quantised = converted / part.quantised_file("fp8")
    path = schemes.write_with_marks_in_metadata(tmp_path / "part.safetensors", part, quantised, prefix, in_marks)
    assert same(read(path, part), read(quantised, part))


@pytest.mark.parametrize("prefix", ["", schemes.PREFIX])
def test_scaled_fp8_of_older_tools_is_read(converted, prefix, tmp_path):
    quantised = converted / DIFFUSION.quantised_file("fp8")
    path = schemes.write_scaled_fp8(tmp_path / "part.safetensors", DIFFUSION, quantised, prefix)
    assert same(read(path, DIFFUSION), read(quantised, DIFFUSION))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_plain_fp8_is_read_as_it_is(converted, part, tmp_path):
    path = schemes.write_plain_fp8(tmp_path / "part.safetensors", part, converted / part.file)
    plain, restored = read(converted / part.file, part), read(path, part)
    for name, tensor in plain.items():
        expected = tensor.to(schemes.E4M3).float() if tensor.ndim > 1 else tensor
        assert torch.equal(restored[name], expected)


def test_convrot_is_rotated_back(converted, tmp_path):
    """Also in groups of another size than ``convert`` writes."""
    path = schemes.write_convrot(tmp_path / "part.safetensors", converted / DIFFUSION.file)
    restored, plain = read(path, DIFFUSION), read(converted / DIFFUSION.file, DIFFUSION)
    name = f"{schemes.LAYERS[DIFFUSION]}.weight"
    assert 0 < (restored[name] - plain[name]).norm() <= 0.01 * plain[name].norm()


@pytest.mark.parametrize("mark, found", [
    ("{", "not valid JSON"), ("[]", r"must be a JSON object \(got list\)"), ("{}", r"must name a format \(got {}\)"),
    ('{"format": 3}', r"must name a format \(got {'format': 3}\)"), ('{"format": ' + "[" * 2000, "not valid JSON"),
    (b"\xff", "must be text in UTF-8"), ("x" * 5000, r"must have at most 4096 bytes \(got 5000\)")])
def test_marks_that_cannot_be_read_are_named(converted, mark, found, tmp_path):
    tensors = load_file(converted / DIFFUSION.quantised_file("fp8"))
    name = f"{schemes.LAYERS[DIFFUSION]}.comfy_quant"
    data = mark if isinstance(mark, bytes) else mark.encode()
    tensors[name] = torch.tensor(list(data), dtype=torch.uint8)
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(GLMImageError, match=f"^diffusion model .*{name}: {found}"):
        read_part(tmp_path / "part.safetensors", DIFFUSION)


@pytest.mark.parametrize("marks, found", [
    ("{", "not valid JSON"), ("{}", r"must have the object layers \(got None\)"),
    ('{"layers": {"nothing": {"format": "float8_e4m3fn"}}}', r"must name layers of the file \(got 'nothing'\)")])
def test_metadata_marks_that_cannot_be_read_are_named(converted, marks, found, tmp_path):
    path = schemes.write_file(tmp_path / "part.safetensors", DIFFUSION, load_file(converted / DIFFUSION.file),
                              converted / DIFFUSION.file, {"_quantization_metadata": marks})
    with pytest.raises(GLMImageError, match=f"^diffusion model .*_quantization_metadata:? {found}"):
        read_part(path, DIFFUSION)


def test_marks_of_layers_that_are_not_quantised_are_refused(converted, tmp_path):
    tensors = read_part(converted / DIFFUSION.file, DIFFUSION).tensors
    layer = schemes.LAYERS[DIFFUSION]
    marks = json.dumps({"layers": {layer: {"format": "float8_e4m3fn"}}})
    path = schemes.write_file(tmp_path / "part.safetensors", DIFFUSION, tensors, converted / DIFFUSION.file,
                              {"_quantization_metadata": marks})
    with pytest.raises(GLMImageError, match=rf"got {layer}.weight, torch.float32 \[32, 32\], marked float8_e4m3fn"):
        read_part(path, DIFFUSION)


def test_tensors_of_further_blocks_are_refused(converted, tmp_path):
    tensors = read_part(converted / GLYPH.file, GLYPH).tensors
    tensors["encoder.block.7.layer.0.layer_norm.weight"] = torch.ones(48)
    path = schemes.write_file(tmp_path / "part.safetensors", GLYPH, tensors, converted / GLYPH.file)
    with pytest.raises(GLMImageError, match="do not belong to a model of this config: encoder.block.7"):
        read(path, GLYPH)


@pytest.mark.parametrize("name", ["decoder.mid_block.attentions.0.to_q.weight", "post_quant_conv.weight"])
def test_vaes_of_other_layouts_are_refused(converted, name, tmp_path):
    tensors = read_part(converted / VAE.file, VAE).tensors | {name: torch.ones(4, 4)}
    path = schemes.write_file(tmp_path / "part.safetensors", VAE, tensors, converted / VAE.file)
    with pytest.raises(GLMImageError, match=f"not a GLM-Image VAE: it has {name}"):
        read_part(path, VAE)
