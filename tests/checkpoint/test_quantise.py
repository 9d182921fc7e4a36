import json
import random

import pytest
import torch
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import DIFFUSION, PLANNER, QUANTISED, convert_folder, dequantise, locate, read_part
from glm_core.checkpoint.formats import FORMATS, from_tiles, to_tiles
from glm_core.errors import GLMImageError
from glm_core.pipeline import Place, build, load, load_planner
from glm_core.planner import PlannerConfig, PlannerModel
from tests.support.tiny import Tiny, write_checkpoint

CPU = Place(torch.device("cpu"), torch.float32)
INSIDE = {PLANNER: "language_model.layers.", DIFFUSION: "transformer_blocks."}
# share of the largest number of a matrix by which none may be off: half the widest step between two numbers
COARSEST = {"fp8": 1 / 28, "int8": 1 / 254, "nvfp4": 1 / 5}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("released"), Tiny())


@pytest.fixture(scope="module", params=QUANTISED)
def converted(request, released, tmp_path_factory):
    """A format's name and the folder that holds the model in it."""
    name, out = request.param, tmp_path_factory.mktemp(request.param)
    assert {path.name for path in convert_folder(released, out, name)} == {
        f"glm_image_planner_{name}.safetensors", "glm_image_glyph_encoder.safetensors", f"glm_image_diffusion_model_{name}.safetensors",
        "glm_image_vae.safetensors"}
    return name, out


@pytest.mark.parametrize("part", INSIDE, ids=lambda part: part.title)
def test_large_matrices_have_few_bits_and_a_mark_and_the_rest_is_untouched(released, converted, part):
    name, folder = converted
    before, after = (read_part(locate(at, part), part).tensors for at in (released, folder))
    assert before.keys() <= after.keys()
    quantised = {key for key in before if after[key].dtype != before[key].dtype}
    assert quantised == {key for key, tensor in before.items()
                         if key.startswith(INSIDE[part]) and tensor.ndim == 2 and ".norm1." not in key}
    for key, tensor in before.items():
        if key in quantised:
            assert json.loads(bytes(after[key.removesuffix("weight") + "comfy_quant"].tolist())) == {"format": FORMATS[name].mark}
            assert after[key].nbytes <= tensor.numel() * (0.5 if name == "nvfp4" else 1)
            restored = dequantise(after, key, "test")
            assert restored.shape == tensor.shape and restored.dtype == torch.float32
            assert (restored - tensor.float()).abs().max() <= COARSEST[name] * tensor.abs().max()
        else:
            assert torch.equal(after[key], tensor)


@pytest.mark.parametrize("name", QUANTISED)
def test_numbers_of_the_format_are_kept(name):
    """What was written once is written again as it is."""
    matrix = FORMATS[name].read(FORMATS[name].write(torch.randn(48, 64, generator=torch.Generator().manual_seed(0))))
    again = FORMATS[name].read(FORMATS[name].write(matrix))
    assert (again - matrix).abs().max() <= 1e-6 * matrix.abs().max()


def test_fp8_is_off_by_a_sixteenth_at_most(released):
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


def planner_apart(model):
    """With the file's own matrices, also where these could be fused."""
    weights = read_part(locate(model, PLANNER), PLANNER)
    return build(PlannerModel, PlannerConfig.from_json(weights.config, weights.where), weights, CPU)


def test_without_a_host_matrices_are_restored_as_they_are_read(released, converted):
    name, folder = converted
    assert load_planner(released, CPU)[0].config.fused and not load_planner(folder, CPU)[0].config.fused
    for read in (lambda at: load(at, DIFFUSION, CPU), planner_apart):
        whole, restored = (read(at).state_dict() for at in (released, folder))
        for key, tensor in whole.items():
            assert restored[key].dtype == torch.float32
            assert (restored[key] - tensor).abs().max() <= COARSEST[name] * tensor.abs().max(), key


def test_nvfp4_wants_whole_groups(tmp_path_factory, tmp_path):
    released = write_checkpoint(tmp_path_factory.mktemp("odd"), Tiny(planner_hidden=72, planner_heads=3, planner_kv_heads=1,
                                                                       mrope_section=(2, 2, 2)))
    with pytest.raises(GLMImageError, match=r"planner: language_model\.layers\.0.* has the sides .*nvfp4 wants multiples of 16"):
        list(convert_folder(released, tmp_path, "nvfp4"))


@pytest.mark.parametrize("mark", [{"format": "mxfp8"}, None])
def test_what_only_comfyui_can_read_is_named(released, tmp_path, mark):
    list(convert_folder(released, tmp_path, "fp8"))
    file = tmp_path / DIFFUSION.quantised_file("fp8")
    tensors = load_file(file)
    layer = "transformer_blocks.0.attn1.to_q."
    del tensors[layer + "comfy_quant"]
    if mark:
        tensors[layer + "comfy_quant"] = torch.tensor(list(json.dumps(mark).encode()), dtype=torch.uint8)
    save_file(tensors, file, metadata=read_part(file, DIFFUSION).metadata)
    with pytest.raises(GLMImageError, match=f"{layer}weight is quantised as .*outside ComfyUI these can be read: float8_e4m3fn"):
        load(tmp_path, DIFFUSION, CPU)
