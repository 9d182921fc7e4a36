"""Write the shipped workflows as ComfyUI's page saves them: ``python -m tests.host.save_workflows``.

For every workflows/api/NAME.json: load it in a real page, put each node where a table below has it, and write what
the page serialises to workflows/NAME.json. Run it after every change of an API workflow or of a node's widgets: a new
widget's default is added to the API files too. If nothing changed, the files stay the same. A node whose title is in no
table needs an entry there.

Needs a ComfyUI where the host tests look for one (COMFYUI_PATH, or ~/ComfyUI) and Chromium or Chrome (on Debian:
apt-get install chromium). Nothing is downloaded: the models are tiny random ones, and the page reaches no other server.
"""

import argparse
import json
import shutil
import uuid
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from glm_core.checkpoint import convert_folder
from tests.support.browser import Page, open_page
from tests.support.hosts import PACK, find_hosts, host_version
from tests.support.servers import load_workflow, serve
from tests.support.tiny import write_checkpoint

WORKFLOWS = PACK / "workflows"
NAMES = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
SETTINGS = {  # an empty page: no first-visit dialog, no workflow of an earlier visit, nothing in front of the nodes
    "Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False, "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasMenu": False, "Comfy.Graph.CanvasInfo": False,
}
IS_READY = "window.app?.vueAppReady && window.LiteGraph?.registered_node_types.GLMImagePlan"
EXAMPLE = "example.png"  # comes with ComfyUI; the picture of the edit workflows
# title: x, y (below the title bar), width, height; the link of VAE runs above all nodes, that of MODEL below them
TEXT_TO_IMAGE = {
    "Load GLM-Image VAE": (0, 0, 380, 60),
    "Load GLM-Image Planner": (0, 110, 380, 60),
    "Load GLM-Image Glyph Encoder": (0, 620, 380, 82),
    "Load GLM-Image Diffusion Model": (0, 970, 380, 82),
    "GLM-Image Plan": (460, 110, 400, 420),
    "GLM-Image Plan Preview": (940, 110, 320, 450),
    "GLM-Image Conditioning": (940, 620, 320, 86),
    "Empty GLM-Image Latent": (940, 790, 320, 106),
    "RandomNoise": (1340, 110, 280, 82),
    "KSamplerSelect": (1340, 270, 280, 58),
    "GLM-Image Scheduler": (1340, 410, 280, 82),
    "CFGGuider": (1340, 970, 280, 98),
    "ModelSamplingGLMImage": (1340, 970, 280, 46),
    "KSampler": (1700, 560, 300, 262),
    "SamplerCustomAdvanced": (1700, 410, 300, 106),
    "VAE Decode": (2080, 0, 220, 46),
    "Save Image": (2380, 0, 400, 460),
}


def moved(layout: dict, pixels: int) -> dict:
    """The layout with everything but the left column moved to the right."""
    return {title: (x + pixels if x else x, *rest) for title, (x, *rest) in layout.items()}


EDIT = moved(TEXT_TO_IMAGE, 420) | {
    "Picture": (0, 270, 380, 330),
    "Load GLM-Image Glyph Encoder": (0, 690, 380, 82),
    "GLM-Image Reference": (460, 540, 340, 106),
}
LAYOUTS = {  # of the workflows that are not laid out as text_to_image is
    "edit_image": EDIT,
    "edit_multi_image": moved(TEXT_TO_IMAGE, 840) | {
        "First picture": (0, 240, 380, 330),
        "Second picture": (0, 640, 380, 330),
        "Load GLM-Image Glyph Encoder": (0, 1050, 380, 82),
        "Load GLM-Image Diffusion Model": (0, 1220, 380, 82),
        "Reference first picture": (460, 300, 340, 106),
        "Reference second picture": (880, 540, 340, 106),
    },
    "inpaint": moved(EDIT, 780) | {
        "Picture with mask": (0, 640, 380, 330),
        "Load GLM-Image Glyph Encoder": (0, 1050, 380, 82),
        "Load GLM-Image Diffusion Model": (0, 1220, 380, 82),
        "Load GLM-Image VAE": (0, 1390, 380, 60),
        "GLM-Image Reference": (460, 540, 340, 106),
        "GLM-Image Plan": (880, 110, 400, 420),
        "GLM-Image Conditioning": (1360, 620, 320, 86),
        "GLM-Image Fit Image": (1360, 790, 320, 106),
        "VAE Encode": (1760, 930, 280, 46),
        "Set Latent Noise Mask": (2120, 860, 280, 46),
        "ModelSamplingGLMImage": (2480, 1040, 280, 46),
        "KSampler": (2840, 560, 300, 262),
        "VAE Decode": (3220, 1150, 220, 46),
        "Save Image": (3520, 560, 400, 460),
    },
    "image_variation": TEXT_TO_IMAGE | {
        "Picture": (0, 250, 380, 330),
        "Texts": (460, 790, 400, 110),
        "Load GLM-Image Glyph Encoder": (0, 670, 380, 82),
        "GLM-Image Tokenize": (460, 110, 400, 46),
    },
}
WINDOW = 1280, 800
MARGIN, TITLE_BAR, SCALE = 40, 30, 0.7  # of the view that a workflow is saved with, and of screenshots
VIEW_OFFSET = MARGIN, MARGIN + TITLE_BAR
MENU_BUTTON = 80  # pixels at the page's right edge

ARRANGE = """layout => {
    for (const node of app.graph.nodes) {
        const [x, y, width, height] = layout[node.title]
        node.setSize([width, Math.max(height, node.computeSize()[1])])
        node.pos = [x, y]
        for (const widget of node.widgets ?? []) if (widget.name === "control_after_generate") widget.value = "fixed"
    }
}"""
SHOW = """async (scale, x, y) => {
    app.extensionManager.focusMode = true
    app.canvas.ds.scale = scale
    app.canvas.ds.offset = [x, y]
    for (let i = 0; i < 2; i++) {  // the first drawing moves the inputs beside text boxes, the second their links
        app.canvas.setDirty(true, true)
        await new Promise(resolve => setTimeout(resolve, 500))
    }
}"""


@contextmanager
def open_comfyui(folder: Path):
    """A page of the oldest ComfyUI here (newer ones read what it saves), with tiny models under the usual names."""
    host = min(find_hosts(), key=lambda path: [int(number) for number in host_version(path).split(".")])
    models, files = folder / "models", folder / "comfyui"
    list(convert_folder(write_checkpoint(models / "diffusers" / "GLM-Image"), models))
    files.mkdir()
    with serve(host, files, models) as server:
        shutil.copy(host / "input" / EXAMPLE, server.inputs)
        server.post("/settings", SETTINGS)
        with open_page(server.url, folder / "profile", WINDOW) as page:
            page.wait_for(IS_READY)
            yield page


def lay_out(page: Page, name: str) -> dict:
    """Load an API workflow into the page and arrange it; what the page's Save would write.

    What changes with every visit, id and view, gets values of our own.
    """
    load(page, name)
    page.call(ARRANGE, LAYOUTS.get(name, TEXT_TO_IMAGE))
    graph = page.evaluate("app.graph.serialize()")
    view = {"scale": SCALE, "offset": list(VIEW_OFFSET)}
    return {**graph, "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "extra": {"ds": view}}


def load(page: Page, name: str) -> None:
    """Load an API workflow into the page; widgets that it lacks get their defaults, in its file too.

    Ends the program if the page changes an input.
    """
    workflow = load_workflow(name)
    page.evaluate("app.clean()")  # or nodes show the pictures of those that had their numbers before
    page.call("(graph, name) => app.loadApiJson(graph, name)", workflow, name)
    exported = page.evaluate("app.graphToPrompt().then(prompt => prompt.output)")
    changed = [key for key, node in workflow.items() if not node["inputs"].items() <= exported[key]["inputs"].items()]
    if changed:
        raise SystemExit(f"{name}: the page must keep all inputs (it changed those of the nodes {', '.join(changed)})")
    complete = {key: node | {"inputs": node["inputs"] | exported[key]["inputs"]} for key, node in workflow.items()}
    if complete != workflow:
        text = json.dumps(complete, indent=2, ensure_ascii=False)
        (WORKFLOWS / "api" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def photograph(page: Page, graph: dict) -> bytes:
    """A small PNG of the whole graph that is in the page."""
    right, bottom = (max(node["pos"][i] + node["size"][i] for node in graph["nodes"]) for i in (0, 1))
    width, height = round(SCALE * (right + 2 * MARGIN)), round(SCALE * (bottom + 2 * MARGIN + TITLE_BAR))
    page.resize(width + MENU_BUTTON, height)
    page.call(SHOW, SCALE, *VIEW_OFFSET)
    picture, small = Image.open(BytesIO(page.screenshot(width, height))).convert("RGB"), BytesIO()
    picture.quantize(dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def save(names: list[str], screenshots: Path | None) -> None:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, open_comfyui(Path(folder)) as page:
        for name in names:
            graph = lay_out(page, name)
            text = json.dumps(graph, indent=2, ensure_ascii=False)
            (WORKFLOWS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            if screenshots:
                screenshots.mkdir(parents=True, exist_ok=True)
                (screenshots / f"{name}.png").write_bytes(photograph(page, graph))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", default=NAMES, metavar="NAME",
                           help=f"of {', '.join(NAMES)} (default: all)")
    arguments.add_argument("--screenshots", type=Path, metavar="DIR", help="also write DIR/NAME.png, a picture of each")
    options = arguments.parse_args()
    save(options.names, options.screenshots)
