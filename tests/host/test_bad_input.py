"""Values by link, other models' latents and conditionings: each is refused in one line, and the server goes on."""

import json

import pytest

from tests.host.graphs import TINY_FILES, make_node, save_tensors
from tests.support.servers import RunFailed
from tests.support.tiny import Tiny

WIDTH = Tiny().glyph_width
SIDES = 0, -32, 33, 100, 4128, 10**9, 2**63, 64.0, 64.5, "64", None
COUNTS = 0, -1, 65, 10**9, 1.5, "2", None
STEPS = -4, 0, 1001, 10**9, 1.5, "8", None
DENOISE = 0, 0.0, -1.0, 2.0, 1e-9, float("nan"), float("inf"), "1", None
FOREIGN = [2, 4, 8, 12], [1, 128, 8, 12], [1, 16, 1, 8, 12], [1, 16, 96], [1, 16, 2, 8, 12], [1, 1, 8, 12]
NOT_OF_PICTURES = [1, 16, 1, 8, 12], [1, 8, 96], [1, 96], [96], [1, 8, 96, "empty"], [1, 16, 3, 8, 12, "empty"]
EMBEDDINGS = [1, 5, 2 * WIDTH], [1, 5, 768], [1, WIDTH], [WIDTH], [1, 0, WIDTH], [1, 5, WIDTH, 1], [1, 5, 1]
PLAN_VALUES = {
    "width": (0, 33, 10**9, 64.5), "height": (-32, 48, 8192, "64"), "batch_size": (0, -1, 65, 10**9, 1.5),
    "seed": (-1, 2**64, 1.5), "temperature": (0.0, float("nan"), -1.0, 10.0), "top_p": (0.0, 1.5, float("nan")),
    "top_k": (0, -1, 10**9), "look_ahead": (0, -1, 65, 10**9),
}
FLOATS = "temperature", "top_p", "denoise"


def linked(name: str, value) -> dict:
    """A node that gives a value, by which it passes the widget and its limits."""
    return make_node("TestFloat" if name in FLOATS else "TestInt", json=json.dumps(value))


def latent_node(shape) -> dict:
    return make_node("TestLatent", json=json.dumps(shape))


def empty_latent(name: str, value) -> dict:
    inputs = {"width": 64, "height": 64, "batch_size": 1} | {name: ["value", 0]}
    return {"value": linked(name, value), "made": make_node("EmptyGLMImageLatent", **inputs),
            "save": save_tensors("bad", latent=["made", 0])}


def scheduler(name: str, value) -> dict:
    inputs = {"steps": 8, "denoise": 1.0} | {name: ["value", 0]}
    return {"latent": latent_node([1, 16, 8, 12]), "value": linked(name, value),
            "made": make_node("GLMImageScheduler", latent=["latent", 0], **inputs),
            "save": save_tensors("bad", sigmas=["made", 0])}


def scheduler_of(shape) -> dict:
    return {"latent": latent_node(shape),
            "made": make_node("GLMImageScheduler", latent=["latent", 0], steps=8, denoise=1.0),
            "save": save_tensors("bad", sigmas=["made", 0])}


def sampling_of(shape) -> dict:
    """ModelSamplingGLMImage; its result reaches a sampler, as no other node saves a model."""
    graph = sampler([1, 16, 8, 12], [1, 5, WIDTH])
    graph["sample"]["inputs"]["model"] = ["shifted", 0]
    return graph | {"size": latent_node(shape),
                    "shifted": make_node("ModelSamplingGLMImage", model=["model", 0], latent=["size", 0])}


def sampler(latent, positive, negative=(1, 5, WIDTH)) -> dict:
    loader = make_node("GLMImageDiffusionModelLoader", model_name=TINY_FILES["model_name"], weight_dtype="default")
    conditionings = {name: make_node("TestConditioning", json=json.dumps(shape))
                     for name, shape in (("positive", positive), ("negative", negative))}
    sample = make_node("KSampler", model=["model", 0], positive=["positive", 0], negative=["negative", 0],
                       latent_image=["latent", 0], seed=1, steps=1, cfg=1.5, sampler_name="euler", scheduler="simple",
                       denoise=1.0)
    return {"model": loader, "latent": latent_node(latent), **conditionings, "sample": sample,
            "save": save_tensors("bad", latent=["sample", 0])}


def decoding(class_type: str, shape) -> dict:
    tiling = {"tile_size": 64, "overlap": 32, "temporal_size": 64, "temporal_overlap": 8}
    inputs = tiling if class_type == "VAEDecodeTiled" else {}
    return {"vae": make_node("GLMImageVAELoader", vae_name=TINY_FILES["vae_name"]), "latent": latent_node(shape),
            "made": make_node(class_type, vae=["vae", 0], samples=["latent", 0], **inputs),
            "save": save_tensors("bad", image=["made", 0])}


def plan(name: str, value) -> dict:
    inputs = {"prompt": "a", "width": 32, "height": 32, "batch_size": 1, "seed": 0, "temperature": 0.9, "top_p": 0.75,
              "top_k": 16384} | {name: ["value", 0]}
    loader = make_node("GLMImagePlannerLoader", planner_name=TINY_FILES["planner_name"])
    return {"planner": loader, "value": linked(name, value),
            "made": make_node("GLMImagePlan", planner=["planner", 0], **inputs),
            "show": make_node("GLMImagePlanPreview", plan=["made", 0], grid="target", cell=4)}


def preview(name: str, value) -> dict:
    graph = plan("seed", 1)
    graph["show"]["inputs"]["cell"] = ["cell", 0]
    return graph | {"cell": linked(name, value)}


ROWS = [
    *((empty_latent, (name, value), f"{name} must be a multiple of 32") for name in ("width", "height")
      for value in SIDES),
    *((empty_latent, ("batch_size", value), "batch_size must be") for value in COUNTS),
    *((scheduler, ("steps", value), "steps must be") for value in STEPS),
    *((scheduler, ("denoise", value), "denoise must be") for value in DENOISE),
    *((scheduler_of, (shape,), "latent: must be of pictures") for shape in NOT_OF_PICTURES),
    *((sampling_of, (shape,), "latent: must be of pictures") for shape in NOT_OF_PICTURES),
    *((sampler, (shape, [1, 5, WIDTH]), "latent: must") for shape in (*FOREIGN, [1, 16, 3, 8, 12, "empty"])),
    *((sampler, ([1, 16, 8, 12], shape), "must be the glyph encoder's embeddings") for shape in EMBEDDINGS),
    *((sampler, ([1, 16, 8, 12], [1, 5, WIDTH], shape), "must be the glyph encoder's") for shape in EMBEDDINGS[:2]),
    *((sampler, ([batch, 16, 8, 12], [3, 5, WIDTH]), "batch size must be 1") for batch in (1, 2, 4)),
    *((decoding, (node, shape), "latent: must") for node in ("VAEDecode", "VAEDecodeTiled") for shape in FOREIGN),
    *((plan, (name, value), f"{name} must be") for name, values in PLAN_VALUES.items() for value in values),
    *((preview, ("cell", value), "cell must be") for value in COUNTS),
]


def row_id(row) -> str:
    make, values, _ = row
    return f"{make.__name__} {' '.join(map(str, values))}"


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_bad_input_is_refused_in_one_line(server, row):
    make, values, expected = row
    with pytest.raises(RunFailed) as failure:
        server.run(make(*values))
    details = failure.value.details
    message = details["exception_message"].strip()
    assert details["exception_type"].endswith("GLMImageError"), details
    assert expected in message and len(message) < 300 and "\n" not in message


def test_good_input_passes_the_same_graphs(server):
    """Last, so that it is also seen that the server still works."""
    for graph in (empty_latent("width", 64), scheduler("denoise", 0.5), scheduler_of([1, 4, 8, 12, "empty"]),
                  sampling_of([1, 16, 8, 12]), sampler([3, 16, 8, 12], [3, 5, WIDTH]), plan("seed", 1),
                  sampler([1, 4, 8, 12, "empty"], [1, 5, WIDTH]), decoding("VAEDecode", [1, 16, 8, 12]),
                  decoding("VAEDecodeTiled", [1, 16, 8, 12]), preview("cell", 4)):
        server.run(graph)
