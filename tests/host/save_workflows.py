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
from tests.host.layouts import GROUPS, LAYOUTS, NOTES, TEXT_TO_IMAGE
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
WINDOW = 1280, 800
MARGIN, TITLE_BAR, SCALE = 40, 30, 0.7  # of the view that a workflow is saved with, and of screenshots
VIEW_OFFSET = MARGIN, MARGIN + TITLE_BAR
GROUP_PADDING, GROUP_TITLE = 20, 30  # around the nodes of a group, and for its title
MENU_BUTTON = 80  # pixels at the page's right edge

ARRANGE = """layout => {
    for (const node of app.graph.nodes) {
        const [x, y, width, height] = layout[node.title]
        node.setSize([width, Math.max(height, node.computeSize()[1])])
        node.pos = [x, y]
        for (const widget of node.widgets ?? []) if (widget.name === "control_after_generate") widget.value = "fixed"
    }
}"""
ADD_NOTE = """([x, y, width, height], text) => {
    const note = LiteGraph.createNode("MarkdownNote")
    app.graph.add(note)
    note.title = "About this workflow"
    note.widgets[0].value = text
    note.pos = [x, y]
    note.setSize([width, height])
}"""
ADD_GROUP = """(title, titles, padding, bar) => {
    const nodes = app.graph.nodes.filter(node => titles.includes(node.title))
    const left = Math.min(...nodes.map(node => node.pos[0])), top = Math.min(...nodes.map(node => node.pos[1]))
    const right = Math.max(...nodes.map(node => node.pos[0] + node.size[0]))
    const bottom = Math.max(...nodes.map(node => node.pos[1] + node.size[1]))
    const group = new LiteGraph.LGraphGroup(title)
    group.pos = [left - padding, top - bar - padding]
    group.size = [right - left + 2 * padding, bottom - top + bar + 3 * padding]  // Nodes 2.0 are taller
    app.graph.add(group)
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
    for title, titles in GROUPS.get(name, {}).items():
        page.call(ADD_GROUP, title, list(titles), GROUP_PADDING, TITLE_BAR + GROUP_TITLE)
    if name in NOTES:
        page.call(ADD_NOTE, *NOTES[name])
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
