"""One server per ComfyUI found, with a tiny checkpoint in both layouts. Without a ComfyUI these tests are skipped."""

import json
import shutil
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from glm_core.checkpoint import convert_folder
from tests.host.graphs import run_and_load, small_workflow
from tests.host.loras import write_loras
from tests.host.page_actions import SET_TITLES
from tests.support.browser import BROWSERS, Page, open_page
from tests.support.hosts import PACK, find_hosts, host_version, opens
from tests.support.hub import write_hub
from tests.support.servers import load_workflow, serve
from tests.support.tiny import Tiny, small_vocabulary, write_checkpoint

HOSTS = find_hosts()
# few codes and words, a few tokens a plan, and small reference images
TINY = Tiny(seed=1, vocabulary=small_vocabulary(512), coarse_tokens=16, shortest_side=64)
LORA = "tiny_lora.safetensors"
PAGE_SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False}
PAGE_IS_READY = "window.app?.vueAppReady && window.LiteGraph?.registered_node_types.GLMImagePlan"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """folder: of models, the released layout under diffusers/ and in the Hugging Face cache hub/, the converted files
    where ComfyUI looks for them. released: the checkpoint in the released layout."""
    folder = tmp_path_factory.mktemp("models")
    released = write_checkpoint(folder / "diffusers" / "GLM-Image", TINY)
    write_hub(folder / "hub", released)
    for quantised in (None, "fp8", "int8", "nvfp4"):
        list(convert_folder(released, folder, quantised))
    (folder / "loras").mkdir()
    save_file(decoder_lora(rank=4, width=32), folder / "loras" / LORA)
    write_loras(folder)
    return SimpleNamespace(folder=folder, released=released)


def decoder_lora(rank: int, width: int) -> dict[str, torch.Tensor]:
    """A LoRA of one matrix of the tiny decoder, ``width`` wide."""
    target = "diffusion_model.transformer_blocks.0.attn1.to_q"
    generator = torch.Generator().manual_seed(0)
    return {f"{target}.lora_A.weight": torch.randn(rank, width, generator=generator),
            f"{target}.lora_B.weight": torch.randn(width, rank, generator=generator)}


@pytest.fixture(scope="session", params=HOSTS, ids=host_version)
def server(request, models, tmp_path_factory):
    with serve(request.param, tmp_path_factory.mktemp("comfyui"), models.folder) as running:
        yield running


@pytest.fixture(autouse=True)
def skip_workflows_of_newer_comfyui(request):
    """For tests of each workflow in each ComfyUI."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    name = parameters.get("name")
    if "server" in parameters and isinstance(name, str) and not opens(parameters["server"], name):
        pytest.skip(f"{name} needs a newer ComfyUI")


@pytest.fixture(scope="session")
def text_to_image(server):
    """The shipped workflow, run once: its plan, latent and image."""
    return run_and_load(server, small_workflow("text_to_image"), "text_to_image")


@pytest.fixture(scope="session")
def custom_sampler(server):
    """The shipped workflow with SamplerCustomAdvanced, run once."""
    return run_and_load(server, small_workflow("text_to_image_custom_sampler"), "custom_sampler")


def needs_browser() -> None:
    """Skip the test if there is none."""
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip(f"needs one of {', '.join(BROWSERS)}")


@pytest.fixture(scope="session")
def idle_page(server, tmp_path_factory) -> Iterator[Page]:
    """ComfyUI's page in a browser; its window has 1280 x 800 pixels."""
    needs_browser()
    shutil.copy(server.host / "input" / "example.png", server.inputs)
    server.post("/settings", PAGE_SETTINGS)
    with open_page(server.url, tmp_path_factory.mktemp("profile"), (1280, 800)) as opened:
        opened.wait_for(PAGE_IS_READY)
        yield opened


@pytest.fixture
def page(idle_page) -> Iterator[Page]:
    """The page, put away between tests: even an idle one draws all the time."""
    idle_page.set_window("normal")
    yield idle_page
    idle_page.set_window("minimized")


@pytest.fixture
def open_workflow(page) -> Callable[[str], Page]:
    """Shows a shipped workflow in the page, its nodes under the titles of the API form, which tell them apart."""

    def show(name: str) -> Page:
        text = (PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8")
        page.call("graph => app.loadGraphData(graph)", json.loads(text))
        page.call(SET_TITLES, {key: node["_meta"]["title"] for key, node in load_workflow(name).items()})
        return page

    return show
