"""Files of other tools and of ComfyUI's own saving nodes, in the loaders."""

import shutil
from pathlib import Path

import pytest
import torch

from glm_core.checkpoint import DIFFUSION, GLYPH, PARTS, PLANNER, VAE
from tests.host.graphs import (
    error_message,
    id_of,
    is_close,
    largest_difference,
    make_node,
    nodes_of,
    run_and_load,
    save_tensors,
    small_workflow,
)
from tests.support import schemes

FILE_INPUTS = {PLANNER: "planner_name", GLYPH: "encoder_name", DIFFUSION: "model_name", VAE: "vae_name"}
LOADERS = {GLYPH: "GLMImageGlyphEncoderLoader", DIFFUSION: "GLMImageDiffusionModelLoader", VAE: "GLMImageVAELoader"}
FOLDER = "odd"  # below each folder of models, for the files of a test


@pytest.fixture
def odd_file(server):
    """The path of a new file where the loader of a part finds it."""
    made = []

    def path(part, name: str) -> Path:
        made.append(server.models / Path(part.file).parent / FOLDER)
        made[-1].mkdir(exist_ok=True)
        return made[-1] / f"{name}.safetensors"

    yield path
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


def workflow_with(files: dict) -> dict:
    """The shipped workflow with other files, by part."""
    graph = small_workflow("text_to_image")
    for node in graph.values():
        for part, path in files.items():
            if FILE_INPUTS[part] in node["inputs"]:
                node["inputs"][FILE_INPUTS[part]] = f"{FOLDER}/{path.name}" if path.parent.name == FOLDER else path.name
    return graph


def knows(server, format_name: str) -> bool:
    return f'"{format_name}"' in (server.host / "comfy" / "quant_ops.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", [schemes.bitsandbytes_int8, schemes.fp8_weight_scale, schemes.fp8_scale_weight],
                         ids=lambda scheme: scheme.__name__)
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_unknown_schemes_are_refused_by_name(server, odd_file, part, scheme):
    path = schemes.write_scheme(odd_file(part, scheme.__name__), part, server.models / part.file, scheme)
    message = error_message(server, workflow_with({part: path}))
    assert f"{part.title} {path}: its weights are quantised in a form that cannot be read here" in message
    assert schemes.LAYERS[part] in message and "comfy_quant" in message and len(message.splitlines()) == 1


def test_an_sdnq_folder_is_refused(server, models):
    folder = shutil.copytree(models.released, models.folder / "diffusers" / "SDNQ")
    (folder / "transformer" / "quantization_config.json").write_text('{"quant_method": "sdnq"}')
    graph = {"1": make_node("GLMImageFolderLoader", folder="SDNQ", weight_dtype="default", quotes="natural"),
             "2": make_node("EmptyLatentImage", width=64, height=64, batch_size=1),
             "3": make_node("VAEDecode", vae=["1", 3], samples=["2", 0]),
             "4": save_tensors("sdnq", image=["3", 0])}
    message = error_message(server, graph)
    shutil.rmtree(folder)
    assert "format of SDNQ" in message and "convert them: python -m glm_core convert " in message
    assert f"{folder.name} MODELS" in message


@pytest.mark.parametrize("write", [
    lambda path, quantised: schemes.write_with_marks_in_metadata(path, DIFFUSION, quantised, schemes.PREFIX,
                                                                 schemes.PREFIX),
    lambda path, quantised: schemes.write_with_marks_in_metadata(path, DIFFUSION, quantised, schemes.PREFIX),
    lambda path, quantised: schemes.write_scaled_fp8(path, DIFFUSION, quantised, schemes.PREFIX),
], ids=["metadata", "metadata without prefix", "scaled_fp8"])
def test_marks_under_a_prefix_are_drawn_as_without(server, odd_file, write):
    quantised = server.models / DIFFUSION.quantised_file("fp8")
    path = write(odd_file(DIFFUSION, "marked"), quantised)
    first, second = (run_and_load(server, workflow_with({DIFFUSION: file}), name)
                     for file, name in ((quantised, "fp8_file"), (path, "prefixed")))
    assert is_close(first["latent"], second["latent"])


def test_convrot_is_drawn_where_comfyui_knows_it(server, odd_file, text_to_image):
    path = schemes.write_convrot(odd_file(DIFFUSION, "convrot"), server.models / DIFFUSION.file)
    graph = workflow_with({DIFFUSION: path})
    if not knows(server, "int8_tensorwise"):
        assert "got int8_tensorwise" in error_message(server, graph)
        return
    latent = run_and_load(server, graph, "convrot")["latent"]
    assert largest_difference(latent, text_to_image["latent"]) <= 0.2


@pytest.mark.parametrize("part, form", [(GLYPH, "plain"), (GLYPH, "marked"), (VAE, "plain")],
                         ids=["glyph encoder, plain", "glyph encoder, marked", "VAE, plain"])
def test_small_parts_in_fp8_are_restored(server, odd_file, text_to_image, part, form):
    original, path = server.models / part.file, odd_file(part, form)
    if form == "plain":
        schemes.write_plain_fp8(path, part, original)
    else:
        schemes.write_marked(path, part, original, {"format": "float8_e4m3fn"})
    result = run_and_load(server, workflow_with({part: path}), "small_part")
    for name in ("latent", "image"):
        assert torch.isfinite(result[name]).all()
    key = "latent" if part is GLYPH else "image"
    assert 0 < largest_difference(result[key], text_to_image[key]) <= 0.6


def loaders(graph: dict) -> dict[str, list]:
    """The links of model, clip and vae."""
    return {"model": [id_of(graph, LOADERS[DIFFUSION]), 0], "clip": [id_of(graph, LOADERS[GLYPH]), 0],
            "vae": [id_of(graph, LOADERS[VAE]), 0]}


def saving_nodes(links: dict) -> dict:
    """A merge of the model with itself, and all of core's nodes that save parts."""
    merged = make_node("ModelMergeSimple", model1=links["model"], model2=links["model"], ratio=0.5)
    return {"merge": merged,
            "model": make_node("ModelSave", model=["merge", 0], filename_prefix="saved/model"),
            "clip": make_node("CLIPSave", clip=links["clip"], filename_prefix="saved/clip"),
            "vae": make_node("VAESave", vae=links["vae"], filename_prefix="saved/vae"),
            "all": make_node("CheckpointSave", model=["merge", 0], clip=links["clip"], vae=links["vae"],
                             filename_prefix="saved/all")}


@pytest.fixture(scope="module")
def saved(server):
    """Folder of what core's nodes save of the tiny model."""
    graph = small_workflow("text_to_image")
    kept = {key: node for key, node in graph.items() if node in nodes_of(graph, *LOADERS.values())}
    server.run(kept | saving_nodes(loaders(graph)))
    return server.output / "saved"


@pytest.mark.parametrize("source", ["own", "all"])
def test_what_core_saved_draws_the_same(server, saved, odd_file, text_to_image, source):
    files = {}
    for part, name in ((DIFFUSION, "model"), (GLYPH, "clip"), (VAE, "vae")):
        files[part] = odd_file(part, source)
        shutil.copyfile(saved / f"{name if source == 'own' else 'all'}_00001_.safetensors", files[part])
    result = run_and_load(server, workflow_with(files), f"saved_{source}")
    assert is_close(result["latent"], text_to_image["latent"])
    assert largest_difference(result["image"], text_to_image["image"]) <= 0.02
