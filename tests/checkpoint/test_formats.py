import hashlib
import json
import random

import pytest
import torch
from safetensors.torch import load_file, save_file

from glm_core import ops
from glm_core.checkpoint import (
    DIFFUSION,
    FORMATS,
    PARTS,
    PLANNER,
    convert_folder,
    dequantise,
    fill,
    format_names,
    locate,
    read_part,
)
from glm_core.checkpoint.formats.nvfp4 import from_tiles, to_tiles
from glm_core.errors import GLMImageError
from glm_core.pipeline import load, load_planner
from glm_core.planner import PlannerConfig, PlannerModel
from tests.support.compute import CPU
from tests.support.tiny import Tiny, write_checkpoint

QUANTISED_LAYERS = {PLANNER: "language_model.layers.", DIFFUSION: "transformer_blocks."}
# largest error of any number, as a share of the matrix's largest number: half the widest step between two numbers
COARSEST = {"fp8": 1 / 28, "int8": 1 / 254, "nvfp4": 1 / 5}
# start of the hash of what a format writes for a fixed matrix
WRITTEN_HASHES = {"fp8": "902456cd", "int8": "3e78bd25", "nvfp4": "437d1bd2"}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("released"), Tiny())


@pytest.fixture(scope="module", params=FORMATS)
def converted(request, released, tmp_path_factory):
    """A format's name and the folder that holds the model in it."""
    name, out = request.param, tmp_path_factory.mktemp(request.param)
    assert {path.name for path in convert_folder(released, out, name)} == {
        f"glm_image_planner_{name}.safetensors", "glm_image_glyph_encoder.safetensors",
        f"glm_image_diffusion_model_{name}.safetensors", "glm_image_vae.safetensors"}
    return name, out


@pytest.mark.parametrize("part", QUANTISED_LAYERS, ids=lambda part: part.title)
def test_large_matrices_have_few_bits_and_a_tag_and_the_rest_is_untouched(released, converted, part):
    name, folder = converted
    before, after = (read_part(locate(at, part), part).tensors for at in (released, folder))
    assert before.keys() <= after.keys()
    quantised = {key for key in before if after[key].dtype != before[key].dtype}
    assert quantised == {key for key, tensor in before.items()
                         if key.startswith(QUANTISED_LAYERS[part]) and tensor.ndim == 2 and ".norm1." not in key}
    for key, tensor in before.items():
        if key in quantised:
            tag = after[key.removesuffix("weight") + "comfy_quant"]
            assert json.loads(bytes(tag.tolist())) == {"format": FORMATS[name].comfy_name}
            assert after[key].nbytes <= tensor.numel() * (0.5 if name == "nvfp4" else 1)
            restored = dequantise(after, key, "test")
            assert restored.shape == tensor.shape and restored.dtype == torch.float32
            assert (restored - tensor.float()).abs().max() <= COARSEST[name] * tensor.abs().max()
        else:
            assert torch.equal(after[key], tensor)


def test_format_names_are_those_of_the_file(released, converted):
    name, folder = converted
    for part in PARTS:
        expected = {FORMATS[name].comfy_name} if part in QUANTISED_LAYERS else set()
        assert format_names(read_part(locate(folder, part), part).tensors) == expected
        assert format_names(read_part(locate(released, part), part).tensors) == set()


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_writes_the_tensors_that_it_reads(name):
    assert FORMATS[name].name == name
    written = FORMATS[name].write(torch.ones(16, 32))
    assert tuple(written) == FORMATS[name].tensors
    assert torch.equal(FORMATS[name].read(written), torch.ones(16, 32))


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_written_do_not_change(name):
    row, column = torch.arange(80)[:, None], torch.arange(48)
    written = FORMATS[name].write((row * 7919 + column * 104729) % 1009 / 64 - 8)
    digest = hashlib.sha256()
    for key in FORMATS[name].tensors:
        tensor = written[key].contiguous().flatten().view(torch.uint8)
        digest.update(f"{key} {written[key].dtype} {list(written[key].shape)}".encode() + bytes(tensor.tolist()))
    assert digest.hexdigest()[:8] == WRITTEN_HASHES[name]


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_of_the_format_are_kept(name):
    """Numbers that were stored once are stored again without a change."""
    matrix = FORMATS[name].read(FORMATS[name].write(torch.randn(48, 64, generator=torch.Generator().manual_seed(0))))
    again = FORMATS[name].read(FORMATS[name].write(matrix))
    assert (again - matrix).abs().max() <= 1e-6 * matrix.abs().max()


@pytest.mark.parametrize("name", FORMATS)
def test_a_matrix_of_zeros_stays_zero(name):
    restored = FORMATS[name].read(FORMATS[name].write(torch.zeros(16, 16)))
    assert torch.equal(restored, torch.zeros(16, 16))


def test_fp8_is_off_by_a_sixteenth_at_most():
    matrix = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    restored = FORMATS["fp8"].read(FORMATS["fp8"].write(matrix))
    # three bits of mantissa, and the steps of the smallest numbers
    assert ((restored - matrix).abs() <= matrix.abs() / 16 + matrix.abs().max() / 448 * 2**-9).all()


def test_scales_in_tiles_come_back():
    rng = random.Random(0)
    for _ in range(20):
        rows, columns = rng.randint(1, 300), rng.randint(1, 40)
        scales = torch.rand(rows, columns)
        tiles = to_tiles(scales)
        assert tiles.shape[0] % 128 == 0 and tiles.shape[1] % 4 == 0
        assert torch.equal(from_tiles(tiles, rows, columns), scales)
    numbered = torch.arange(128 * 4).view(128, 4)
    assert to_tiles(numbered).flatten()[:20:4].tolist() == [0, 128, 256, 384, 4]


def unfused_planner(model):
    """With q, k and v apart, as files have them."""
    weights = read_part(locate(model, PLANNER), PLANNER)
    module = PlannerModel(PlannerConfig.from_json(weights.config, weights.source), operations=ops)
    fill(module, {name: dequantise(weights.tensors, name, weights.source) for name in module.state_dict()}, "planner")
    return module


def test_without_a_host_matrices_are_restored_as_they_are_read(released, converted):
    name, folder = converted
    for read in (lambda at: load(at, DIFFUSION, CPU), unfused_planner):
        whole, restored = (read(at).state_dict() for at in (released, folder))
        for key, tensor in whole.items():
            assert restored[key].dtype == torch.float32
            assert (restored[key] - tensor).abs().max() <= COARSEST[name] * tensor.abs().max(), key


def test_restored_matrices_of_the_planner_are_fused(converted):
    _, folder = converted
    fused, apart = (module.state_dict() for module in (load_planner(folder, CPU).model, unfused_planner(folder)))
    layer = "language_model.layers.0.self_attn."
    parts = [apart[f"{layer}{name}.weight"] for name in ("q_proj", "k_proj", "v_proj")]
    assert torch.equal(fused[layer + "qkv_proj.weight"], torch.cat(parts))


def test_what_is_quantised_is_not_quantised_again(converted, tmp_path):
    """Its numbers without their scales would be taken for the weights."""
    name, folder = converted
    with pytest.raises(GLMImageError, match=rf"it must not be quantised yet \(got {FORMATS[name].comfy_name}\)"):
        list(convert_folder(folder, tmp_path, "int8"))


def test_nvfp4_wants_whole_groups(tmp_path_factory, tmp_path):
    odd = Tiny(planner_hidden=72, planner_heads=3, planner_kv_heads=1, mrope_section=(2, 2, 2))
    released = write_checkpoint(tmp_path_factory.mktemp("odd"), odd)
    expected = (r"planner .*vision_language_encoder: the sides of language_model\.layers\.0\..* "
                r"must be multiples of 16 for nvfp4 \(got \d+ x \d+\)")
    with pytest.raises(GLMImageError, match=expected):
        list(convert_folder(released, tmp_path, "nvfp4"))


LAYER = "transformer_blocks.0.attn1.to_q."


@pytest.fixture
def spoil(released, tmp_path):
    """Write an fp8 diffusion model whose first layer's tensors are changed by the function that is passed."""
    def write(change):
        list(convert_folder(released, tmp_path, "fp8"))
        file = tmp_path / DIFFUSION.quantised_file("fp8")
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file, metadata=read_part(file, DIFFUSION).metadata)
        return tmp_path
    return write


@pytest.mark.parametrize("tag, found", [
    ({"format": "mxfp8"}, "mxfp8"), (None, f"torch.float8_e4m3fn without {LAYER}comfy_quant")])
def test_what_only_comfyui_can_read_is_named(spoil, tag, found):
    def change(tensors):
        del tensors[LAYER + "comfy_quant"]
        if tag:
            tensors[LAYER + "comfy_quant"] = torch.tensor(list(json.dumps(tag).encode()), dtype=torch.uint8)

    expected = (f"diffusion model .*: the format of {LAYER}weight must be float8_e4m3fn or int8_tensorwise or nvfp4 "
                rf"to be read outside ComfyUI \(got {found}\)")
    with pytest.raises(GLMImageError, match=expected):
        load(spoil(change), DIFFUSION, CPU)


def test_a_missing_scale_is_named(spoil):
    with pytest.raises(GLMImageError, match=f"diffusion model .*: missing tensors: {LAYER}weight_scale"):
        load(spoil(lambda tensors: tensors.pop(LAYER + "weight_scale")), DIFFUSION, CPU)
