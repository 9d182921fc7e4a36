import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glm_core import ops
from glm_core.checkpoint import (
    DIFFUSION,
    FORMATS,
    PARTS,
    PLANNER,
    LayerError,
    convert_folder,
    dequantise,
    fill,
    locate,
    read_part,
    read_tags,
)
from glm_core.checkpoint.formats import choose_formats, kitchen
from glm_core.checkpoint.formats.quantise import quantised_layer, quantised_layout
from glm_core.checkpoint.formats.tiles import from_tiles
from glm_core.checkpoint.text import text_to_tensor
from glm_core.errors import GLMImageError
from glm_core.pipeline import load, load_planner
from glm_core.planner import PlannerConfig, PlannerModel
from tests.support.compute import CPU
from tests.support.tiny import SMALL, WIDE, write_checkpoint

QUANTISED_LAYERS = {PLANNER: "language_model.layers.", DIFFUSION: "transformer_blocks."}
# relative error of a Gaussian matrix of 256 columns
RELATIVE_ERRORS = {"fp8": 0.0265, "int8": 0.0070, "int8_convrot": 0.0070, "nvfp4": 0.0952, "mxfp8": 0.0265,
                   "w4a8": 0.0731, "w4a4": 0.126}
BITS = {"nvfp4": 4, "w4a8": 4, "w4a4": 4}  # of a number; others have 8
MARKS = {"int8_convrot": {"convrot": True, "convrot_groupsize": 256}, "w4a4": {"convrot_groupsize": 256},
         "w4a8": {"group_size": 16, "convrot_groupsize": 256}}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("released"), WIDE)


@pytest.fixture(scope="module", params=FORMATS)
def converted(request, released, tmp_path_factory):
    """A format's name and the folder that holds the model in it."""
    name, out = request.param, tmp_path_factory.mktemp(request.param)
    assert {converted.path.name for converted in convert_folder(released, out, name)} == {
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
            assert json.loads(bytes(tag.tolist())) == {"format": FORMATS[name].comfy_name, **MARKS.get(name, {})}
            assert after[key].nbytes == tensor.numel() * BITS.get(name, 8) / 8
            restored = dequantise(after, key, "test")
            assert restored.shape == tensor.shape and restored.dtype == torch.float32
            assert relative_error(restored, tensor) <= 1.5 * RELATIVE_ERRORS[name]
        else:
            assert torch.equal(after[key], tensor)


def test_formats_are_those_of_the_file(released, converted):
    name, folder = converted
    for part in PARTS:
        expected = {FORMATS[name].comfy_name} if part in QUANTISED_LAYERS else set()
        tags = read_tags(read_part(locate(folder, part), part).tensors, "file")
        assert {tag["format"] for tag in tags.values()} == expected
        assert not read_tags(read_part(locate(released, part), part).tensors, "file")


def gaussian(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def relative_error(restored: Tensor, exact: Tensor) -> float:
    return float((restored - exact).norm() / exact.norm())


def stored(name: str, matrix: Tensor) -> tuple[dict[str, Tensor], Tensor, LayerError]:
    """A layer's tensors in the format, the matrix that they restore, and its error as ``convert`` reports it."""
    layer, error = quantised_layer("weight", matrix, FORMATS[name])
    return layer, dequantise(layer, "weight", "test"), error


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_its_error_and_reports_it(name):
    matrix = gaussian(600, 256)  # several blocks of rows, and part of a tile
    layer, restored, error = stored(name, matrix)
    assert set(layer) == {*FORMATS[name].tensors, "comfy_quant"} and layer["weight"].dtype == FORMATS[name].dtype
    assert relative_error(restored, matrix) == pytest.approx(RELATIVE_ERRORS[name], rel=0.05)
    assert error.relative == pytest.approx(relative_error(restored, matrix), rel=1e-3)


@pytest.mark.parametrize("name", FORMATS)
def test_the_library_restores_what_we_restore(name):
    """ComfyUI computes with its layouts; ours read the same bytes."""
    layer, restored, _ = stored(name, gaussian(160, 512))
    assert relative_error(restored_by_library(name, layer), restored) <= 1e-6


def restored_by_library(name: str, layer: dict[str, Tensor]) -> Tensor:
    library, weight, scale = kitchen(), layer["weight"], layer.get("weight_scale")
    return {
        "fp8": lambda: library.dequantize_per_tensor_fp8(weight, scale, torch.float32),
        "int8": lambda: library.dequantize_int8_simple(weight, scale),
        "int8_convrot": lambda: torch.ops.comfy_kitchen.dequantize_int8_convrot_weight(weight, scale, 256),
        "nvfp4": lambda: library.dequantize_nvfp4(weight, layer["weight_scale_2"], scale, torch.float32),
        "mxfp8": lambda: library.dequantize_mxfp8(weight, scale.view(torch.float8_e8m0fnu), torch.float32),
        "w4a4": lambda: library.dequantize_convrot_w4a4_weight(weight, scale, 256),
        "w4a8": lambda: library.dequantize_w4a8_int8_weight(
            weight, layer["weight_s_rel"], layer["weight_s_channel"], layer["weight_codebook"],
            output_dtype=torch.float32),
    }[name]()


@pytest.mark.parametrize("name", FORMATS)
def test_the_layout_is_known_before_the_numbers(name):
    matrix = gaussian(600, 256).bfloat16()
    planned = quantised_layout({"weight": matrix}, {"weight": FORMATS[name]})
    layer, _ = quantised_layer("weight", matrix, FORMATS[name])
    assert {key: (tensor.dtype, tensor.shape) for key, tensor in planned.items()} == {
        key: (tensor.dtype, tensor.shape) for key, tensor in layer.items()}


@pytest.mark.parametrize("name", FORMATS)
def test_a_matrix_of_zeros_stays_zero(name):
    _, restored, error = stored(name, torch.zeros(32, 256))
    assert torch.equal(restored, torch.zeros(32, 256)) and error.relative == 0


@pytest.mark.parametrize("name", ["int8_convrot", "w4a8"])
def test_matrices_that_cannot_be_rotated_are_in_int8(name):
    """As the released planner's down projections are: 13,696 columns are no multiple of 256."""
    key = "language_model.layers.0.mlp.down_proj.weight"
    formats = choose_formats({key: torch.zeros(64, 64 * 107)}, PLANNER, name, "test")
    assert formats == {key: FORMATS["int8"]}


def test_w4a4_rotates_smaller_groups_where_it_must():
    matrix = gaussian(64, 64 * 7)
    layer, restored, _ = stored("w4a4", matrix)
    assert json.loads(bytes(layer["comfy_quant"].tolist()))["convrot_groupsize"] == 64
    assert relative_error(restored, matrix) <= 0.14


def test_rotation_spares_a_matrix_with_outliers():
    matrix = gaussian(64, 256)
    matrix[:, 7] *= 50
    plain, rotated = (relative_error(stored(name, matrix)[1], matrix) for name in ("int8", "int8_convrot"))
    assert rotated < plain / 2


def test_fp8_is_off_by_a_sixteenth_at_most():
    matrix = gaussian(64, 64)
    restored = stored("fp8", matrix)[1]
    # three bits of mantissa, and the steps of the smallest numbers
    assert ((restored - matrix).abs() <= matrix.abs() / 16 + matrix.abs().max() / 448 * 2**-9).all()


def test_scales_in_tiles_are_in_the_documented_order():
    tiles = torch.arange(256 * 8).view(256, 8)  # two tiles down, two across
    scales = from_tiles(tiles, 200, 7)
    assert scales.shape == (200, 7)
    assert scales[[0, 1, 32, 64, 96], 0].tolist() == [0, 16, 4, 8, 12]
    assert scales[0, :5].tolist() == [0, 1, 2, 3, 512] and scales[128, 0] == 1024


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
            assert relative_error(restored[key], tensor) <= 1.5 * RELATIVE_ERRORS[name], key


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
    odd = replace(SMALL, planner_hidden=72, planner_heads=3, planner_kv_heads=1, mrope_section=(2, 2, 2))
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
        tensors, metadata = load_file(file), read_part(file, DIFFUSION).metadata
        change(tensors)
        save_file(tensors, file, metadata=metadata)
        return tmp_path
    return write


@pytest.mark.parametrize("tag, found", [
    ({"format": "svdquant_w4a4"}, "svdquant_w4a4"),
    ({"format": "float8_e4m3fn", "convrot": True}, "float8_e4m3fn with convrot True"),
    ({"format": "float8_e4m3fn", "params": {"convrot": True}}, "float8_e4m3fn with convrot True"),
    ({"format": "float8_e4m3fn", "params": "convrot"}, "float8_e4m3fn with params 'convrot'")])
def test_what_only_comfyui_can_read_is_named(spoil, tag, found):
    def change(tensors):
        tensors[LAYER + "comfy_quant"] = text_to_tensor(json.dumps(tag))

    expected = (f"diffusion model .*: the format of {LAYER}weight must be float8_e4m3fn or .* or convrot_w4a4 "
                rf"to be read outside ComfyUI \(got {found}\)")
    with pytest.raises(GLMImageError, match=expected):
        load(spoil(change), DIFFUSION, CPU)


@pytest.mark.parametrize("name", ["int8_convrot", "w4a4", "w4a8"])
@pytest.mark.parametrize("size", [0, 48, 2.0, "256", [256], None, True])
def test_groups_of_odd_sizes_are_named(name, size):
    layer, _ = quantised_layer("weight", gaussian(32, 256), FORMATS[name])
    mark = json.loads(bytes(layer["comfy_quant"].tolist()))
    layer["comfy_quant"] = text_to_tensor(json.dumps(mark | {"convrot_groupsize": size}))
    with pytest.raises(GLMImageError, match=r"^test: the tensors of weight do not suit \w+ .*\(got "):
        dequantise(layer, "weight", "test")


@pytest.mark.parametrize("scale, found", [(None, "none"), (torch.ones(7), r"torch.float32 \[7\]")])
def test_a_missing_or_misshapen_scale_is_named(spoil, scale, found):
    def change(tensors):
        del tensors[LAYER + "weight_scale"]
        if scale is not None:
            tensors[LAYER + "weight_scale"] = scale

    expected = rf"diffusion model .*got {LAYER}weight_scale, {found}, for a weight \[256, 256\] marked float8_e4m3fn"
    with pytest.raises(GLMImageError, match=expected):
        load(spoil(change), DIFFUSION, CPU)
