"""Graphs for a ComfyUI server, in API form: the shipped workflows made small, and what tests add to them."""

import copy

import torch
from safetensors.torch import load_file
from torch import Tensor

from glm_core.decoder import LATENTS_MEAN, LATENTS_STD
from tests.support.servers import RunFailed, Server, load_workflow

WIDTH, HEIGHT, STEPS, SEED = 96, 64, 8, 5
PROMPT = "a sign that says \"OPEN\" over a door"
TINY_FILES = {
    "planner_name": "glm_image_planner.safetensors", "encoder_name": "glm_image_glyph_encoder.safetensors",
    "model_name": "glm_image_diffusion_model.safetensors", "vae_name": "glm_image_vae.safetensors",
}
SMALL_VALUES = {"width": WIDTH, "height": HEIGHT, "steps": STEPS, "seed": SEED, "noise_seed": SEED, "value": PROMPT,
                "prompt": PROMPT}
SAMPLERS = "KSampler", "SamplerCustomAdvanced"


def small_workflow(name: str, **plan) -> dict:
    """A shipped workflow with the tiny model, a small picture and few steps; ``plan``: inputs of GLM-Image Plan."""
    graph = load_workflow(name)
    for node in graph.values():
        inputs = node["inputs"]
        for key, value in (TINY_FILES | SMALL_VALUES).items():
            if key in inputs and not isinstance(inputs[key], list):
                inputs[key] = value
    for node in nodes_of(graph, "GLMImagePlan"):
        node["inputs"].update(plan)
    return graph


def with_own_images(graph: dict, *names: str) -> dict:
    """An edit workflow as people change it for images of their own: Load Image nodes in place of the posters.

    A mask comes from the first image.
    """
    posters = {key for key, node in graph.items() if "(poster" in node["_meta"]["title"]}
    drawn = [key for key in graph if key in posters and graph[key]["class_type"] == "VAEDecode"]
    shown = {key for key, node in graph.items() if node["class_type"] in ("PreviewImage", "GLMImagePlanPreview")
             and {link[0] for link in node["inputs"].values() if isinstance(link, list)} & posters}
    own = {f"own_{i}": make_node("LoadImage", image=name) for i, name in enumerate(names)}
    links = {(key, 0): [loader, 0] for key, loader in zip(drawn, own, strict=True)}
    links |= {(key, 1): ["own_0", 1] for key in shown}
    kept = {key: copy.deepcopy(node) for key, node in graph.items() if key not in posters | shown}
    for node in kept.values():
        node["inputs"] = {name: links.get(tuple(value), value) if isinstance(value, list) else value
                          for name, value in node["inputs"].items()}
    return own | kept


def set_steps(graph: dict, steps: int) -> None:
    """Of all samplers."""
    for node in graph.values():
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = steps


def nodes_of(graph: dict, *class_types: str) -> list[dict]:
    return [node for node in graph.values() if node["class_type"] in class_types]


def inputs_of(graph: dict, *class_types: str) -> dict:
    """Of the first node of these types."""
    return nodes_of(graph, *class_types)[0]["inputs"]


def id_of(graph: dict, *class_types: str) -> str:
    """Of the first node of these types."""
    return next(key for key, node in graph.items() if node["class_type"] in class_types)


def make_node(class_type: str, **inputs) -> dict:
    """``inputs``: values, or links [node id, slot]."""
    return {"class_type": class_type, "inputs": inputs}


def save_tensors(name: str, **links) -> dict:
    """A node that writes the values on these links to NAME.safetensors in the server's output folder."""
    return make_node("TestSaveTensors", name=f"{name}.safetensors", **links)


def save_plan(name: str, link: list) -> dict:
    """A node that writes a plan to NAME.safetensors in the server's output folder."""
    return make_node("TestSavePlan", name=f"{name}.safetensors", plan=link)


def load_saved(server: Server, name: str) -> dict[str, Tensor]:
    """What ``save_tensors`` or ``save_plan`` wrote."""
    return load_file(server.output / f"{name}.safetensors")


def run_and_load(server: Server, graph: dict, name: str) -> dict[str, Tensor]:
    """Run the graph; its plan (ids, preview), latent and image. ``name``: of the files in between."""
    extra = {
        "save_plan": save_plan(f"{name}.plan", [id_of(graph, "GLMImagePlan"), 0]),
        "save_tensors": save_tensors(name, latent=[id_of(graph, *SAMPLERS), 0], image=[id_of(graph, "VAEDecode"), 0]),
    }
    server.run(graph | extra)
    return load_saved(server, name) | load_saved(server, f"{name}.plan")


def error_message(server: Server, graph: dict) -> str:
    """Of the node at which the run fails. Fails itself when the run ends well."""
    try:
        server.run(graph)
    except RunFailed as failure:
        return failure.details["exception_message"]
    raise AssertionError("the server ran this graph to its end")


def with_model(graph: dict, node: dict) -> dict:
    """The graph with one more node, whose MODEL the sampler gets."""
    changed = copy.deepcopy(graph)
    inputs_of(changed, *SAMPLERS)["model"] = ["added_model", 0]
    return changed | {"added_model": node}


def with_lora(graph: dict, file: str) -> dict:
    """The graph with a LoRA between the loader of the diffusion model and the sampling settings."""
    changed = copy.deepcopy(graph)
    loader = id_of(changed, "GLMImageDiffusionModelLoader")
    inputs_of(changed, "ModelSamplingGLMImage")["model"] = ["lora", 0]
    return changed | {"lora": make_node("LoraLoaderModelOnly", model=[loader, 0], lora_name=file, strength_model=1.0)}


def with_apply_plan(graph: dict) -> dict:
    """The graph with CLIP Text Encode ("texts", "no_texts") and GLM-Image Apply Plan instead of GLM-Image Conditioning,
    whose number GLM-Image Apply Plan gets."""
    changed = copy.deepcopy(graph)
    conditioning = id_of(changed, "GLMImageConditioning")
    inputs = changed[conditioning]["inputs"]
    prompt = inputs_of(changed, "GLMImagePlan")["prompt"]
    others = {name: link for name, link in inputs.items() if name in ("plan", "references")}
    changed[conditioning] = make_node("GLMImageApplyPlan", positive=["texts", 0], negative=["no_texts", 0], **others)
    return changed | {"texts": make_node("CLIPTextEncode", clip=inputs["clip"], text=prompt),
                      "no_texts": make_node("CLIPTextEncode", clip=inputs["clip"], text="")}


def cache_node(class_type: str, graph: dict, threshold: float) -> dict:
    """EasyCache or LazyCache; with threshold 0 it reuses no step."""
    return make_node(class_type, model=[id_of(graph, "ModelSamplingGLMImage"), 0], reuse_threshold=threshold,
                     start_percent=0.0, end_percent=1.0, verbose=False)


def run_again(graph: dict, denoise: float) -> dict:
    """The graph with a denoise a hair below 1: the same result, but ComfyUI does not take it from its cache."""
    changed = copy.deepcopy(graph)
    inputs_of(changed, *SAMPLERS)["denoise"] = denoise
    return changed


def normalised(latent: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (LATENTS_MEAN, LATENTS_STD))
    return (latent - mean) / std


def largest_difference(first: Tensor, second: Tensor) -> float:
    return (first - second).abs().max().item()


def is_close(first: Tensor, second: Tensor) -> bool:
    """Equal but for rounding: matrix kernels round by the alignment of weights that were loaded anew."""
    return largest_difference(first, second) <= 1e-3
