"""ComfyUI's own nodes around those of this pack."""

import pytest
import torch

from glm_core.decoder import resolution_shift
from tests.host.conftest import LORA
from tests.host.graphs import (
    HEIGHT,
    SAMPLERS,
    WIDTH,
    cache_node,
    id_of,
    is_close,
    largest_difference,
    load_saved,
    make_node,
    run_again,
    run_and_load,
    save_tensors,
    small_workflow,
    with_lora,
    with_model,
)


def test_a_lora_changes_the_result_and_is_undone(server, text_to_image):
    graph = small_workflow("text_to_image")
    changed = run_and_load(server, with_lora(graph, LORA), "lora")
    assert largest_difference(changed["latent"], text_to_image["latent"]) > 0.01
    undone = run_and_load(server, run_again(graph, 0.9999999), "lora_undone")
    assert is_close(undone["latent"], text_to_image["latent"])


def test_tiled_decoding_gives_a_picture_of_the_same_size(server, text_to_image):
    graph = small_workflow("text_to_image")
    latent, vae = [id_of(graph, *SAMPLERS), 0], [id_of(graph, "GLMImageVAELoader"), 0]
    graph["tiled"] = make_node("VAEDecodeTiled", samples=latent, vae=vae, tile_size=64, overlap=32, temporal_size=64,
                               temporal_overlap=8)
    server.run(graph | {"save": save_tensors("tiled", image=["tiled", 0])})
    assert load_saved(server, "tiled")["image"].shape == text_to_image["image"].shape


@pytest.mark.parametrize("class_type", ["VAEEncode", "VAEEncodeForInpaint"])
def test_pictures_are_encoded_to_latents_of_their_size(server, class_type):
    graph = small_workflow("text_to_image")
    pixels, vae = [id_of(graph, "VAEDecode"), 0], [id_of(graph, "GLMImageVAELoader"), 0]
    graph["encode"] = make_node(class_type, pixels=pixels, vae=vae)
    if class_type == "VAEEncodeForInpaint":
        graph["mask"] = make_node("SolidMask", value=1.0, width=WIDTH, height=HEIGHT)
        graph["encode"]["inputs"].update(mask=["mask", 0], grow_mask_by=6)
    server.run(graph | {"save": save_tensors(class_type, latent=["encode", 0])})
    assert load_saved(server, class_type)["latent"].shape == (1, 16, HEIGHT // 8, WIDTH // 8)


def test_regional_conditioning_runs_and_a_second_pass_with_denoise(server):
    graph = small_workflow("text_to_image")
    conditioning, sampler = id_of(graph, "GLMImageConditioning"), id_of(graph, *SAMPLERS)
    graph["area"] = make_node("ConditioningSetArea", conditioning=[conditioning, 0], width=64, height=64, x=32, y=0,
                              strength=1.0)
    graph["both"] = make_node("ConditioningCombine", conditioning_1=[conditioning, 0], conditioning_2=["area", 0])
    inputs = graph[sampler]["inputs"]
    inputs["positive"] = ["both", 0]
    graph["again"] = make_node("KSampler", **inputs | {"latent_image": [sampler, 0], "denoise": 0.5})
    graph["save_again"] = save_tensors("area_again", latent=["again", 0])
    first = run_and_load(server, graph, "area")["latent"]
    assert torch.isfinite(first).all() and torch.isfinite(load_saved(server, "area_again")["latent"]).all()


@pytest.mark.parametrize("class_type", ["ModelSamplingSD3", "ModelSamplingAuraFlow"])
def test_the_same_shift_through_core_nodes_gives_the_same_picture(server, text_to_image, class_type):
    graph = small_workflow("text_to_image")
    loader = [id_of(graph, "GLMImageDiffusionModelLoader"), 0]
    node = make_node(class_type, model=loader, shift=resolution_shift(WIDTH, HEIGHT))
    result = run_and_load(server, with_model(graph, node), class_type)
    assert is_close(result["latent"], text_to_image["latent"])


def test_renormcfg_changes_the_picture(server, text_to_image):
    graph = small_workflow("text_to_image")
    sampling = [id_of(graph, "ModelSamplingGLMImage"), 0]
    node = make_node("RenormCFG", model=sampling, cfg_trunc=100.0, renorm_cfg=0.9)
    latent = run_and_load(server, with_model(graph, node), "renormcfg")["latent"]
    assert torch.isfinite(latent).all() and not is_close(latent, text_to_image["latent"])


@pytest.mark.parametrize("class_type", ["EasyCache", "LazyCache"])
def test_a_cache_that_reuses_no_step_changes_nothing(server, text_to_image, class_type):
    graph = small_workflow("text_to_image")
    result = run_and_load(server, with_model(graph, cache_node(class_type, graph, 0.0)), f"{class_type}_none")
    assert is_close(result["latent"], text_to_image["latent"])


@pytest.mark.parametrize("class_type", ["EasyCache", "LazyCache"])
def test_a_cache_that_reuses_steps_changes_the_picture(server, text_to_image, class_type):
    graph = small_workflow("text_to_image")
    latent = run_and_load(server, with_model(graph, cache_node(class_type, graph, 3.0)), f"{class_type}_some")["latent"]
    assert torch.isfinite(latent).all() and not is_close(latent, text_to_image["latent"])
