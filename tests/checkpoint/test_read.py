import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from glm_core import ops
from glm_core.checkpoint import (
    DIFFUSION,
    FORMATS,
    GLYPH,
    PARTS,
    PLANNER,
    VAE,
    convert_folder,
    fill,
    fingerprint,
    locate,
    read_config_only,
    read_part,
)
from glm_core.checkpoint.read import TOKENIZER_TENSOR
from glm_core.decoder import DiTConfig, VAEConfig
from glm_core.errors import GLMImageError
from glm_core.glyph import GlyphConfig
from glm_core.pipeline import build
from glm_core.planner import PlannerConfig, PlannerModel
from tests.support.compute import CPU
from tests.support.tiny import Tiny, write_checkpoint


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("released"), Tiny())


@pytest.fixture(scope="module")
def converted(released, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted")
    paths = [converted.path for converted in convert_folder(released, out)]
    assert paths == [out / part.file for part in PARTS]
    return out


@pytest.fixture
def copy(released, tmp_path):
    """A released folder that a test may change."""
    return shutil.copytree(released, tmp_path / "model")


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_converted_files_hold_what_the_folder_holds(released, converted, part):
    one, other = read_part(locate(released, part), part), read_part(locate(converted, part), part)
    assert same(one.tensors, other.tensors)
    assert one.config == other.config
    assert one.tokenizer_json == other.tokenizer_json and (one.tokenizer_json is None) == (part is not PLANNER)


@pytest.mark.parametrize("prefix", ["", "model.", "transformer.", "model.diffusion_model.", "model.model."])
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_prefixes_are_taken_off(converted, part, prefix, tmp_path):
    weights = read_part(locate(converted, part), part)
    names = {name: prefix + name for name in weights.tensors}
    if part is PLANNER:  # its head stands outside of model.
        names["lm_head.weight"] = prefix.removesuffix("model.") + "lm_head.weight"
    tensors = {names[name]: tensor for name, tensor in weights.tensors.items()}
    if part is PLANNER:  # its tokenizer may lie beside the file
        (tmp_path / "tokenizer.json").write_text(weights.tokenizer_json)
    save_file(tensors, tmp_path / "part.safetensors", metadata={"config": json.dumps(weights.config)})
    assert same(read_part(tmp_path / "part.safetensors", part).tensors, weights.tensors)


def test_shared_embedding_under_its_other_name(released, tmp_path):
    tensors = load_file(released / "text_encoder" / "model.safetensors")
    tensors["encoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    save_file(tensors, tmp_path / "glyph.safetensors")
    assert "shared.weight" in read_part(tmp_path / "glyph.safetensors", GLYPH).tensors


def test_vision_tower_is_carried_but_not_needed(converted):
    weights = read_part(locate(converted, PLANNER), PLANNER)
    assert any(name.startswith("visual.") for name in weights.tensors)
    tower = "visual.", "vqmodel."
    text_only = {name: tensor for name, tensor in weights.tensors.items() if not name.startswith(tower)}
    model = PlannerModel(PlannerConfig.from_json(weights.config, "x"), operations=ops)
    fill(model, text_only, "planner")


def test_latent_statistics_come_from_the_vae(copy):
    path = copy / "vae" / "config.json"
    config = json.loads(path.read_text())
    config["latents_mean"][0] = 42.0
    path.write_text(json.dumps(config))
    assert read_part(copy / "transformer", DIFFUSION).config["latents_mean"][0] == 42.0


def test_wrong_part_is_named(converted):
    with pytest.raises(GLMImageError, match="not a GLM-Image planner: it holds the VAE"):
        read_part(converted / VAE.file, PLANNER)
    with pytest.raises(GLMImageError, match="not a GLM-Image VAE: it holds the diffusion model"):
        read_part(converted / DIFFUSION.file, VAE)


def test_foreign_file_is_named(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    expected = "x.safetensors: not a GLM-Image glyph encoder: it has no tensor encoder.final_layer_norm.weight"
    with pytest.raises(GLMImageError, match=expected):
        read_part(tmp_path / "x.safetensors", GLYPH)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_truncated_file_is_named(converted, part, tmp_path):
    whole = (converted / part.file).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GLMImageError, match=f"{part.title} .*cut.safetensors: not a complete safetensors file .*; "
                       ".python -m glm_core check DIR"):
        read_part(tmp_path / "cut.safetensors", part)


def test_missing_shard_is_named(copy):
    shard = "diffusion_pytorch_model-00002-of-00002.safetensors"
    (copy / "transformer" / shard).unlink()
    with pytest.raises(GLMImageError, match=f"transformer: missing shards {shard}, named in .*; .*glm_core check DIR"):
        read_part(copy / "transformer", DIFFUSION)


def test_two_indexes_are_one_too_many(copy):
    index = copy / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    shutil.copy(index, index.with_name("diffusion_pytorch_model.fp16.safetensors.index.json"))
    with pytest.raises(GLMImageError, match=r"transformer: must have one index \(got .*fp16.*, .*; .*glm_core check"):
        read_part(copy / "transformer", DIFFUSION)


def test_two_different_tensors_of_one_name_are_refused(copy):
    first, second = sorted((copy / "transformer").glob("*.safetensors"))
    tensors = load_file(second)
    name = next(iter(load_file(first)))
    tensor = load_file(first)[name]
    save_file(tensors | {name: tensor.clone()}, second)
    read_part(copy / "transformer", DIFFUSION)
    save_file(tensors | {name: tensor + 1}, second)
    with pytest.raises(GLMImageError, match=f"each tensor must be stored once .got two different ones of {name}"):
        read_part(copy / "transformer", DIFFUSION)


def test_two_names_of_one_tensor_are_one_name(released, tmp_path):
    tensors = load_file(released / "text_encoder" / "model.safetensors")
    other = {"shared.weight": tensors["shared.weight"], "encoder.embed_tokens.weight": tensors["shared.weight"] + 1}
    save_file(tensors | other, tmp_path / "glyph.safetensors")
    with pytest.raises(GLMImageError, match="two different ones of shared.weight"):
        read_part(tmp_path / "glyph.safetensors", GLYPH)


def test_folders_without_weights_or_with_too_many_are_named(copy, tmp_path):
    (tmp_path / "empty").mkdir()
    expected = r"empty: must hold one safetensors file, or several with an index \(got 0 without an index\)"
    with pytest.raises(GLMImageError, match=expected):
        read_part(tmp_path / "empty", VAE)
    with pytest.raises(GLMImageError, match="no such file or folder"):
        read_part(tmp_path / "nothing", VAE)
    (copy / "vae").rename(copy / "gone")
    with pytest.raises(GLMImageError, match="no VAE found; expected vae/ .* or vae/glm_image_vae.safetensors"):
        locate(copy, VAE)


PART_IN_FOLDER = {"transformer": (DIFFUSION, DiTConfig), "text_encoder": (GLYPH, GlyphConfig), "vae": (VAE, VAEConfig)}


@pytest.mark.parametrize("folder, key", [
    ("transformer", "num_layers"), ("transformer", "condition_dim"), ("text_encoder", "d_kv"),
    ("vae", "layers_per_block")])
def test_missing_config_key_is_named(copy, folder, key):
    path = copy / folder / "config.json"
    config = json.loads(path.read_text())
    del config[key]
    path.write_text(json.dumps(config))
    part, config_class = PART_IN_FOLDER[folder]
    weights = read_part(copy / folder, part)
    with pytest.raises(GLMImageError, match=f"{part.title} .*{folder}: the configuration lacks {key}"):
        config_class.from_json(weights.config, weights.source)


def test_broken_json_is_named(copy):
    (copy / "vae" / "config.json").write_text("{")
    with pytest.raises(GLMImageError, match="config.json: not valid JSON"):
        read_part(copy / "vae", VAE)
    (copy / "vae" / "config.json").write_text("[]")
    with pytest.raises(GLMImageError, match=r"config.json: must be a JSON object \(got list\)"):
        read_part(copy / "vae", VAE)


def test_broken_config_inside_a_file_is_named(converted, tmp_path):
    save_file(load_file(converted / VAE.file), tmp_path / "vae.safetensors", metadata={"config": "{"})
    with pytest.raises(GLMImageError, match="VAE .*vae.safetensors: its config: not valid JSON"):
        read_part(tmp_path / "vae.safetensors", VAE)


def test_planner_without_tokenizer_is_named(converted, tmp_path):
    tensors, config = load_file(converted / PLANNER.file), read_part(converted / PLANNER.file, PLANNER).config
    del tensors[TOKENIZER_TENSOR]
    save_file(tensors, tmp_path / "planner.safetensors", metadata={"config": json.dumps(config)})
    with pytest.raises(GLMImageError, match="planner .*: no tokenizer inside the file, nor at .*tokenizer.json"):
        read_part(tmp_path / "planner.safetensors", PLANNER)


def test_missing_and_misshapen_tensors_are_named(released):
    weights = read_part(locate(released, PLANNER), PLANNER)
    name = "language_model.layers.1.mlp.down_proj.weight"
    tensor = weights.tensors.pop(name)
    with pytest.raises(GLMImageError, match=f"planner .*: missing tensors: {name}; .python -m glm_core check DIR. "):
        build(PLANNER, weights, CPU)
    weights.tensors[name] = tensor[:3]
    with pytest.raises(GLMImageError, match=f"size mismatch for {name}"):
        build(PLANNER, weights, CPU)


def test_all_missing_tensors_are_counted(released):
    weights = read_part(locate(released, GLYPH), GLYPH)
    module = torch.nn.Linear(3, 3)
    with pytest.raises(GLMImageError, match="glyph encoder .*: missing tensors: weight and 1 more; "):
        fill(module, weights.tensors, weights.source)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_config_alone_is_the_config_of_the_part(released, converted, part, tmp_path):
    for path in (locate(released, part), locate(converted, part)):
        assert read_config_only(path, part) == read_part(path, part).config
    save_file(load_file(converted / part.file), tmp_path / "bare.safetensors")
    assert read_config_only(tmp_path / "bare.safetensors", part) == {}


def test_locate_prefers_the_file_then_the_formats_in_order_then_the_folder(tmp_path):
    names = [VAE.file, *(VAE.quantised_file(name) for name in FORMATS), VAE.folder + "/config.json"]
    for name in reversed(names):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        assert locate(tmp_path, VAE) == (path if path.suffix == ".safetensors" else path.parent)


NUMBERS = torch.arange(1, 13).view(3, 4)
DTYPES = [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.int8, torch.uint8, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fingerprint_is_of_what_the_tensors_hold(dtype):
    tensors = {"a.weight": NUMBERS.to(dtype), "a.scale": torch.tensor(2.0), "b": torch.empty(0)}
    first = fingerprint(tensors)
    assert len(first) == 12 and int(first, 16) >= 0
    assert fingerprint({name: tensor.clone() for name, tensor in reversed(tensors.items())}) == first
    transposed = {**tensors, "a.weight": NUMBERS.to(dtype).T.contiguous().T}
    assert fingerprint(transposed) == first


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fingerprint_tells_other_numbers_types_shapes_and_names(dtype):
    tensor, changed = NUMBERS.to(dtype), NUMBERS.clone()
    changed[1, 3] = 0  # the eighth number
    others = [
        {"a": changed.to(dtype)},
        {"a": tensor.view(4, 3)},
        {"a": NUMBERS.to(torch.float64)},
        {"b": tensor},
        {"a": tensor, "b": torch.tensor(1.0)},
        {"a": tensor, "b": torch.tensor(2.0)},
    ]
    fingerprints = {fingerprint(tensors) for tensors in [{"a": tensor}, *others]}
    assert len(fingerprints) == 1 + len(others)


def test_fingerprint_reads_the_first_numbers_alone():
    changed = NUMBERS.clone()
    changed[2] = 0
    assert fingerprint({"a": changed}) == fingerprint({"a": NUMBERS})


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_fingerprint_is_the_same_for_the_folder_and_the_converted_file(released, converted, part):
    folder, file = (read_part(locate(model, part), part) for model in (released, converted))
    assert fingerprint(folder.tensors) == fingerprint(file.tensors)
