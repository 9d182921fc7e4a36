"""What a person sees while a model works: the sampler's picture, the planner's pace."""

import re
import struct
import time

import pytest

from tests.host.graphs import PROMPT, id_of, make_node, save_plan, small_workflow
from tests.support.servers import Server

PICTURES, TEXT = (1, 2, 4), 3  # BinaryEventTypes of ComfyUI's protocol.py
PACE = re.compile(r"\d+ / \d+( · \d+\.\d tokens/s( · \d+:\d\d)?)?")
STEPS = 10
DEMO = "embedded (demo)"


def kind_of(message: bytes) -> int:
    return struct.unpack(">I", message[:4])[0]


def sampling(loader: dict, clip: dict, seed: int) -> dict:
    """Draws without a plan; nothing decodes the latent."""
    return {
        "loader": loader, "clip": clip, "text": make_node("CLIPTextEncode", clip=["clip", 2], text=PROMPT),
        "latent": make_node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "sampler": make_node("KSampler", model=["loader", 0], positive=["text", 0], negative=["text", 0],
                             latent_image=["latent", 0], seed=seed, steps=STEPS, cfg=1.0, sampler_name="euler",
                             scheduler="simple", denoise=1.0),
        "save": make_node("TestSaveTensors", name="live.safetensors", latent=["sampler", 0]),
    }


def folder(name: str) -> dict:
    return make_node("GLMImageFolderLoader", folder=name, weight_dtype="default", quotes="natural")


def pictures_while(server: Server, graph: dict, method: str) -> tuple[int, float]:
    """How many the page gets, and in how many seconds of sampling."""
    pictures, times = [], []

    def note(message):
        if isinstance(message, bytes) and kind_of(message) in PICTURES:
            pictures.append(message)
        if not isinstance(message, bytes) and message["type"] == "progress" and message["data"]["node"] == "sampler":
            times.append(time.monotonic())

    server.run(graph, note, preview_method=method)
    return len(pictures), times[-1] - times[0]


@pytest.mark.parametrize("name", ["GLM-Image", DEMO])
def test_sampling_shows_a_picture_a_second_with_auto_and_none_with_none(server, name):
    """GLM-Image: a released folder, whose VAE is asked. The other: numbers in its config."""
    count, seconds = pictures_while(server, sampling(folder(name), folder(name), 1), "auto")
    assert count == STEPS >= seconds
    count, _ = pictures_while(server, sampling(folder(name), folder(name), 2), "none")
    assert count == 0


def test_a_file_without_colours_is_sampled_without_a_picture(server):
    loader = make_node("GLMImageDiffusionModelLoader", model_name="glm_image_diffusion_model.safetensors",
                       weight_dtype="default")
    assert pictures_while(server, sampling(loader, folder("GLM-Image"), 3), "auto")[0] == 0


def test_the_planner_says_how_fast_it_is_and_what_remains(server):
    """On its node, at most twice a second; whatever the preview method."""
    graph = small_workflow("text_to_image", width=512, height=480, seed=70)
    planner = id_of(graph, "GLMImagePlan")
    only_plan = {key: node for key, node in graph.items()
                 if node["class_type"] in ("GLMImagePlannerLoader", "GLMImagePlan")}
    texts, start = [], time.monotonic()

    def note(message):
        if isinstance(message, bytes) and kind_of(message) == TEXT:
            length = struct.unpack(">I", message[4:8])[0]
            texts.append((message[8 : 8 + length].decode(), message[8 + length :].decode()))

    server.run(only_plan | {"save": save_plan("pace.plan", [planner, 0])}, note)
    assert {node for node, _ in texts} == {planner}
    assert 1 <= len(texts) <= 2 * (time.monotonic() - start) + 1
    assert all(PACE.fullmatch(text) for _, text in texts), texts
    done, total = re.findall(r"\d+", texts[-1][1])[:2]
    assert done == total and ":" not in texts[-1][1]
