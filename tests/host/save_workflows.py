"""Writes the shipped workflows as the page saves them: ``python -m tests.host.save_workflows [NAME ...] [--screenshots DIR]``.

Starts a real ComfyUI with this pack and tiny models, loads workflows/api/NAME.json in headless Chromium, puts every node
in its place and writes what the page serialises to workflows/NAME.json. Run it after every change of an API workflow.
"""

import argparse
import base64
import json
import shutil
import subprocess
import time
import urllib.request
import uuid
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import websocket
from PIL import Image

from glm_core.checkpoint import convert_folder
from tests.support.servers import PACK, find_hosts, free_port, host_version, load_workflow, serve
from tests.support.tiny import write_checkpoint

WORKFLOWS = PACK / "workflows"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
SETTINGS = {  # an empty page: no first-visit dialog, no workflow of an earlier visit, nothing in front of the nodes
    "Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False, "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasMenu": False, "Comfy.Graph.CanvasInfo": False,
}
PAGE_SECONDS = 90
EXAMPLE = "example.png"  # comes with ComfyUI; the picture of the edit workflows
PLACES = {  # title: x, y (below the title bar), width, height; the lanes at the bottom are for the links of MODEL and VAE
    "Prompt": (0, 0, 420, 400),
    "Load GLM-Image Planner": (0, 490, 420, 60),
    "Load GLM-Image Glyph Encoder": (0, 660, 420, 82),
    "Load GLM-Image Diffusion Model": (0, 1030, 420, 82),
    "Load GLM-Image VAE": (0, 1210, 420, 60),
    "GLM-Image Plan": (500, 0, 340, 560),  # with room for the preview while it works
    "Texts to letter": (500, 650, 340, 100),
    "No text": (500, 840, 340, 100),
    "GLM-Image Plan Preview": (920, 0, 300, 400),
    "GLM-Image Apply Plan": (920, 560, 300, 66),
    "Empty GLM-Image Latent": (920, 770, 300, 106),
    "ModelSamplingGLMImage": (1300, 950, 280, 46),
    "RandomNoise": (1300, 240, 280, 82),
    "KSamplerSelect": (1300, 420, 280, 58),
    "GLM-Image Scheduler": (1300, 560, 280, 82),
    "CFGGuider": (1300, 950, 280, 98),
    "KSampler": (1660, 560, 300, 262),
    "SamplerCustomAdvanced": (1660, 620, 300, 106),
    "VAE Decode": (2040, 1030, 220, 46),
    "Save Image": (2340, 560, 400, 460),
}
PICTURE_COLUMNS = 760  # that edits have between the loaders and the plan
EDIT_PLACES = {title: (x + PICTURE_COLUMNS if x else x, *rest) for title, (x, *rest) in PLACES.items()} | {
    "Picture": (0, 0, 420, 400),
    "Picture with mask": (0, 0, 420, 400),
    "Prompt": (0, 830, 420, 110),
    "GLM-Image Tokenize": (500, 0, 300, 46),
    "Texts to letter": (500, 690, 300, 100),
    "No text": (500, 900, 300, 100),
    "GLM-Image Fit Image": (880, 0, 300, 106),
    "GLM-Image Reference": (1260, 690, 340, 126),
    "VAE Encode": (1260, 950, 340, 46),
    "Empty GLM-Image Latent": (1680, 480, 300, 106),
    "GLM-Image Apply Plan": (1680, 780, 300, 66),
    "Set Latent Noise Mask": (1680, 950, 300, 46),
}
LAYOUTS = {  # of the workflows that have one of their own
    "image_variation": PLACES | {
        "Picture": (0, 0, 420, 400), "Prompt": (0, 830, 420, 110), "GLM-Image Tokenize": (500, 0, 340, 46)},
    "edit_image": EDIT_PLACES,
    "inpaint": EDIT_PLACES | {"ModelSamplingGLMImage": (2060, 1030, 280, 46)},
    "edit_multi_image": EDIT_PLACES | {
        "First picture": (0, 0, 420, 330),  # the page lets a picture have no less
        "Second picture": (0, 400, 420, 330),
        "Load GLM-Image Glyph Encoder": (0, 810, 420, 82),
        "Prompt": (0, 970, 420, 100),
        "Load GLM-Image Diffusion Model": (0, 1160, 420, 82),
        "Load GLM-Image VAE": (0, 1330, 420, 60),
        "Load GLM-Image Planner": (500, 130, 300, 60),
        "Tokenize first picture": (880, 0, 300, 46),
        "Tokenize second picture": (880, 240, 300, 46),
        "Reference first picture": (1260, 690, 340, 126),
        "Reference second picture": (1680, 690, 300, 126),
        "GLM-Image Apply Plan": (2060, 690, 280, 66),
    },
}
MARGIN, TITLE_BAR, SCALE = 40, 30, 0.7  # of the screenshots
WINDOW = 1280, 800
MENU_BUTTON = 80  # the page keeps one at its right edge

PUT_IN_PLACE = """places => {
    for (const node of app.graph.nodes) {
        const [x, y, width, height] = places[node.title]
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


class Page:
    """A page of a browser, driven over the DevTools protocol."""

    def __init__(self, address: str):
        self.connection = websocket.create_connection(address, timeout=PAGE_SECONDS, suppress_origin=True)
        self.commands = 0

    def command(self, method: str, **parameters) -> dict:
        self.commands += 1
        self.connection.send(json.dumps({"id": self.commands, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.connection.recv())
            if answer.get("id") == self.commands:
                return answer["result"]

    def evaluate(self, expression: str):
        """The JSON value of an expression; a promise is awaited."""
        answer = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["result"]["description"])
        return answer["result"].get("value")

    def call(self, function: str, *arguments):
        return self.evaluate(f"({function})({', '.join(map(json.dumps, arguments))})")

    def wait_for(self, condition: str) -> None:
        deadline = time.monotonic() + PAGE_SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page did not come to: {condition}")
            time.sleep(0.2)

    def resize(self, width: int, height: int) -> None:
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, width: int, height: int) -> bytes:
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.command("Page.captureScreenshot", clip=clip)["data"])


def find_browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found


def page_address(port: int) -> str:
    """The DevTools address of the browser's first page, once it is there."""
    deadline = time.monotonic() + PAGE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PAGE_SECONDS) as answer:
                return next(target["webSocketDebuggerUrl"] for target in json.load(answer) if target["type"] == "page")
        except (OSError, StopIteration):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def open_page(url: str, profile: Path):
    """A headless browser that shows ``url``; closed afterwards."""
    port = free_port()
    command = [find_browser(), *FLAGS, f"--user-data-dir={profile}", f"--remote-debugging-port={port}", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = Page(page_address(port))
        page.resize(*WINDOW)
        page.wait_for("window.app?.vueAppReady && window.LiteGraph?.registered_node_types.GLMImagePlan")
        yield page
        page.connection.close()
    finally:
        process.terminate()
        process.wait(timeout=30)


def lay_out(page: Page, name: str) -> dict:
    """Load the API workflow into the page; what its Save would write, with values in place of those that change with every visit."""
    workflow = load_workflow(name)
    page.evaluate("app.clean()")  # or nodes show the pictures of those that had their numbers before
    page.call("(graph, name) => app.loadApiJson(graph, name)", workflow, name)
    exported = page.evaluate("app.graphToPrompt().then(prompt => prompt.output)")
    lost = [key for key, node in workflow.items() if exported[key]["inputs"] != node["inputs"]]
    if lost:
        raise SystemExit(f"{name}: the page lost inputs of the nodes {', '.join(lost)}")
    page.call(PUT_IN_PLACE, LAYOUTS.get(name, PLACES))
    graph = page.evaluate("app.graph.serialize()")
    view = {"scale": SCALE, "offset": [MARGIN, MARGIN + TITLE_BAR]}
    return {**graph, "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "extra": {"ds": view}}


@contextmanager
def open_tiny_comfyui(folder: Path):
    """A page of the oldest ComfyUI here (newer ones read what it saves), with tiny models and a picture under the usual names."""
    host = min(find_hosts(), key=lambda path: [int(number) for number in host_version(path).split(".")])
    models, files = folder / "models", folder / "comfyui"
    list(convert_folder(write_checkpoint(models / "diffusers" / "GLM-Image"), models))
    files.mkdir()
    with serve(host, files, models) as server:
        shutil.copy(host / "input" / EXAMPLE, server.inputs)
        server.post("/settings", SETTINGS)
        with open_page(server.url, folder / "profile") as page:
            yield page


def photograph(page: Page, graph: dict) -> bytes:
    """A small PNG of the whole graph that is in the page."""
    right, bottom = (max(node["pos"][i] + node["size"][i] for node in graph["nodes"]) for i in (0, 1))
    width, height = round(SCALE * (right + 2 * MARGIN)), round(SCALE * (bottom + 2 * MARGIN + TITLE_BAR))
    page.resize(width + MENU_BUTTON, height)
    page.call(SHOW, SCALE, MARGIN, MARGIN + TITLE_BAR)
    picture, small = Image.open(BytesIO(page.screenshot(width, height))).convert("RGB"), BytesIO()
    picture.quantize(dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def save(names: list[str], screenshots: Path | None) -> None:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, open_tiny_comfyui(Path(folder)) as page:
        for name in names:
            graph = lay_out(page, name)
            text = json.dumps(graph, indent=2, ensure_ascii=False)
            (WORKFLOWS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            if screenshots:
                (screenshots / f"{name}.png").write_bytes(photograph(page, graph))


if __name__ == "__main__":
    shipped = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", default=shipped, metavar="NAME", help=f"of {', '.join(shipped)}; default: all")
    arguments.add_argument("--screenshots", type=Path, metavar="DIR")
    options = arguments.parse_args()
    save(options.names, options.screenshots)
