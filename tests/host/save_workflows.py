"""Write the shipped workflows as ComfyUI's page saves them: ``python -m tests.host.save_workflows``.

For every workflows/api/NAME.json: load it in a real page, give it the form that tests/host/forms.py has for it, and
write what the page serialises to workflows/NAME.json. Run it after every change of an API workflow or of a node's
widgets: a new widget's default is added to the API files too. If nothing changed, the files stay the same.

Needs a ComfyUI where the host tests look for one (COMFYUI_PATH, or ~/ComfyUI) and Chromium or Chrome (on Debian:
apt-get install chromium). Nothing is downloaded: the models are tiny random ones, and the page reaches no other server.
"""

import argparse
import shutil
from contextlib import contextmanager
from io import BytesIO
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from glm_core.checkpoint import convert_folder
from tests.host.forms import FILES, FORMS, Form
from tests.host.page_actions import exported
from tests.host.subgraphs import Flat, fold
from tests.host.variants import APPS, BLUEPRINTS, as_app, as_blueprint, to_json
from tests.support.browser import Page, open_page
from tests.support.hosts import PACK, find_hosts, opens, version_numbers
from tests.support.servers import load_workflow, serve
from tests.support.tiny import write_checkpoint

WORKFLOWS, NOTES = PACK / "workflows", PACK / "tests" / "host" / "notes"
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
GROUP_PADDING, GROUP_BAR = 20, 60  # around a node in a group, and for the titles of both
NOTE = 0, 0, 400, 620  # place of the note: x, y, width, height
ORIGINALS = "Original", "Image to ", "Small image"  # titles of nodes that show what a workflow changes
WIDTHS = {"GLMImagePlan": 380, "GLMImageDraftPlan": 380, "GLMImageReplan": 380, "PrimitiveStringMultiline": 340}
MENU_BUTTON = 80  # pixels at the page's right edge

SET_SIZES = """widths => {  // of the flat workflow
    for (const node of app.graph.nodes) {
        node.setSize([widths[node.type] ?? 300, 0])
        node.setSize([node.size[0], node.computeSize()[1]])
        for (const widget of node.widgets ?? []) if (widget.name === "control_after_generate") widget.value = "fixed"
    }
}"""
PLACE = """(places, titles) => {
    for (const node of app.graph.nodes) {
        const [x, y, width, height] = places[titles[node.id] ?? node.title]
        node.setSize([width, Math.max(height, node.computeSize()[1])])
        node.pos = [x, y]
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
ADD_OWN_IMAGE = """([x, y, width, height], example, padding, bar) => {
    const node = LiteGraph.createNode("LoadImage")
    app.graph.add(node)
    node.widgets[0].value = example
    node.mode = 4  // bypassed
    node.pos = [x, y]
    node.setSize([width, height])
    const group = new LiteGraph.LGraphGroup("An image of your own")
    group.pos = [x - padding, y - bar - padding]
    group.size = [width + 2 * padding, height + bar + 2 * padding]
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
def open_comfyui(folder: Path, host: Path):
    """A page of this ComfyUI, with tiny models under the usual names."""
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
    """Load an API workflow into the page and give it its form; what the page's Save would write.

    What changes with every visit, id and view, gets values of our own.
    """
    load(page, name)
    form, titles = FORMS[name], titles_of(name)
    page.call(SET_SIZES, WIDTHS)
    folded = fold(Flat.of(page.evaluate("app.graph.serialize()"), titles), form.subgraphs, name)
    page.call("graph => app.loadGraphData(graph)", folded)
    page.call(PLACE, form.places, titles)
    page.call(ADD_NOTE, NOTE, note_of(name, form))
    if form.own_image:
        page.call(ADD_OWN_IMAGE, form.own_image, EXAMPLE, GROUP_PADDING, GROUP_BAR)
    graph = page.evaluate("app.graph.serialize()")
    view = {"scale": SCALE, "offset": list(VIEW_OFFSET)}
    return {**graph, "id": folded["id"], "extra": {"ds": view}}


def note_of(name: str, form: Form) -> str:
    """The note of a workflow, in English and below it in Chinese."""
    widgets = {subgraph.name: subgraph.widgets for subgraph in form.subgraphs}
    with_files = [f"*{name}*" for name, shown in widgets.items() if set(shown) & set(FILES)]
    takes_image = [f"*{subgraph.name}*" for subgraph in form.subgraphs if "image" in subgraph.inputs.values()]
    original = next((title for title in form.places if title.startswith(ORIGINALS)), "")
    has_size = any(label == "width" for shown in widgets.values() for _, _, label in shown)
    parts = []
    for ending, conjunction, size in ((".md", " and ", ", and 1024 for width and height"),
                                      (".zh.md", " 和 ", "，宽和高设为 1024")):
        parts.append(read_note(name + ending))
        if form.own_image and takes_image:
            parts.append(read_note("own_image" + ending).format(subgraph=takes_image[0], original=original))
        parts.append(read_note("released" + ending).format(subgraphs=conjunction.join(with_files),
                                                           size=size if has_size else ""))
    return "\n\n".join([*parts[:len(parts) // 2], "---", *parts[len(parts) // 2:]])


def read_note(name: str) -> str:
    return (NOTES / name).read_text(encoding="utf-8").strip()


def load(page: Page, name: str) -> None:
    """Load an API workflow into the page; widgets that it lacks get their defaults, in its file too.

    Ends the program if the page changes an input.
    """
    workflow = load_workflow(name)
    page.evaluate("app.clean()")  # or nodes show the pictures of those that had their numbers before
    page.call("(graph, name) => app.loadApiJson(graph, name)", workflow, name)
    shown = exported(page)
    changed = [key for key, node in workflow.items() if not node["inputs"].items() <= shown[key]["inputs"].items()]
    if changed:
        raise SystemExit(f"{name}: the page must keep all inputs (it changed those of the nodes {', '.join(changed)})")
    complete = {key: node | {"inputs": node["inputs"] | shown[key]["inputs"]} for key, node in workflow.items()}
    if complete != workflow:
        write_text(WORKFLOWS / "api" / f"{name}.json", to_json(complete))


def photograph(page: Page, graph: dict) -> bytes:
    """A small PNG of the whole graph that is in the page."""
    left, top = (min(node["pos"][i] for node in graph["nodes"]) for i in (0, 1))
    right, bottom = (max(node["pos"][i] + node["size"][i] for node in graph["nodes"]) for i in (0, 1))
    width, height = round(SCALE * (right - left + 2 * MARGIN)), round(SCALE * (bottom - top + 2 * MARGIN + TITLE_BAR))
    page.resize(width + MENU_BUTTON, height)
    page.call(SHOW, SCALE, MARGIN - left, MARGIN + TITLE_BAR - top)
    picture, small = Image.open(BytesIO(page.screenshot(width, height))).convert("RGB"), BytesIO()
    picture.quantize(dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def oldest_host(name: str) -> Path:
    """The oldest ComfyUI here that opens the workflow; newer ones read what it saves."""
    return min((host for host in find_hosts() if opens(host, name)), key=version_numbers)


def save(names: list[str], screenshots: Path | None) -> None:
    for host, group in groupby(sorted(names, key=oldest_host), oldest_host):
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder, open_comfyui(Path(folder), host) as page:
            for name in group:
                save_one(page, name, screenshots)


def save_one(page: Page, name: str, screenshots: Path | None) -> None:
    graph = lay_out(page, name)
    write_files(name, graph)
    if screenshots:
        screenshots.mkdir(parents=True, exist_ok=True)
        (screenshots / f"{name}.png").write_bytes(photograph(page, graph))


def write_files(name: str, graph: dict) -> None:
    """The workflow, and the app and the blueprint that are made of it."""
    write_text(WORKFLOWS / f"{name}.json", to_json(graph))
    if name in APPS:
        write_text(WORKFLOWS / f"{name}.app.json", to_json(as_app(name, graph, titles_of(name))))
    for blueprint in BLUEPRINTS:
        if blueprint.workflow == name:
            write_text(PACK / "subgraphs" / f"{blueprint.subgraph}.json", to_json(as_blueprint(blueprint, graph)))


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def titles_of(name: str) -> dict[int, str]:
    """Of the nodes of an API workflow, by id."""
    return {int(key): node["_meta"]["title"] for key, node in load_workflow(name).items()}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", default=NAMES, metavar="NAME",
                           help=f"of {', '.join(NAMES)} (default: all)")
    arguments.add_argument("--screenshots", type=Path, metavar="DIR", help="also write DIR/NAME.png, a picture of each")
    options = arguments.parse_args()
    save(options.names, options.screenshots)
