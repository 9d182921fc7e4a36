"""Draw the pictures of the help pages: ``python -m tests.host.save_help_pictures``.

Every node as ComfyUI's page draws it, in English (web/docs/pictures/NODE.png) and in Chinese (web/docs/pictures/zh/),
with what it shows after a run with the embedded model. Run it after every change of what a node looks like.

Needs what ``python -m tests.host.save_workflows`` needs.
"""

import argparse
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tests.host.help_graph import LORA, make_graph
from tests.host.preview_page import RUN
from tests.host.save_workflows import IS_READY, SHOW, TITLE_BAR, open_comfyui
from tests.support.browser import Page
from tests.support.hosts import PACK
from tests.support.node_sources import read_nodes

PICTURES = PACK / "web" / "docs" / "pictures"
NODES = [node.node_id for node in read_nodes()]
FOLDERS = {"en": PICTURES, "zh": PICTURES / "zh"}
COLOURS = 192
EDGE = 6  # pixels around a node
WIDTH, ROOM, WINDOW = 340, 1200, (1280, 1000)  # a node's width, the distance of nodes, and the window: one node in view
HEIGHTS = {"GLMImagePlan": 400, "GLMImageDraftPlan": 370, "GLMImageReplan": 420, "GLMImageRepairPlan": 320,
           "GLMImagePlanPreview": 420, "GLMImageSavePlan": 360, "GLMImageLoadPlan": 290, "GLMImageReadText": 330,
           "GLMImageBestPlans": 270, "GLMImageBestImages": 250, "GLMImagePromptCheck": 320}
SET_LANGUAGE = """async language => {
    await app.extensionManager.setting.set("Comfy.Locale", language)
    await app.extensionManager.setting.set("Comfy.NodeBadge.NodeSourceBadgeMode", "None")
}"""
ARRANGE = """(heights, width, room) => app.graph.nodes.forEach((node, i) => {
    node.pos = [i * room, 0]
    node.setSize([width, Math.max(heights[node.comfyClass] ?? 0, node.computeSize()[1])])
    for (const widget of node.widgets ?? []) if (widget.name === "control_after_generate") widget.value = "fixed"
})"""
HIDE_LINKS = "app.canvas.links_render_mode = LiteGraph.HIDDEN_LINK"
BOX = """name => {
    const { pos, size } = app.graph.nodes.find(node => node.comfyClass === name)
    return [...pos, ...size]
}"""
CHOOSE = """name => {
    const [widget] = app.graph.nodes.find(node => node.comfyClass === "GLMImageLoadPlan").widgets
    widget.value = name
    widget.callback(name)
}"""


def numbered(graph: dict[str, dict]) -> dict[str, dict]:
    """The graph with numbers in place of names, as the page wants them."""
    numbers = {name: str(i) for i, name in enumerate(graph, 1)}
    return {numbers[name]: node | {"inputs": {key: [numbers[value[0]], value[1]] if isinstance(value, list) else value
                                              for key, value in node["inputs"].items()}}
            for name, node in graph.items()}


def open_graph(page: Page, language: str, saved: Path) -> None:
    """Show the graph in a language, after a run. saved: ComfyUI's folder of saved plans."""
    page.call(SET_LANGUAGE, language)
    page.evaluate("window.isOld = true")
    page.command("Page.reload")
    page.wait_for(f"!window.isOld && {IS_READY}")
    page.resize(*WINDOW)
    page.call("graph => app.loadApiJson(graph, 'help')", numbered(make_graph(language)))
    page.call(ARRANGE, HEIGHTS, WIDTH, ROOM)
    page.evaluate(HIDE_LINKS)
    page.evaluate(RUN)
    page.call(CHOOSE, f"plans/{max(saved.iterdir()).name} [output]")


def photograph(page: Page, node: str) -> bytes:
    """A small PNG of a node of the graph that is in the page."""
    x, y, width, height = page.call(BOX, node)
    page.call(SHOW, 1, EDGE - x, EDGE + TITLE_BAR - y)
    picture = page.screenshot(round(width) + 2 * EDGE, round(height) + TITLE_BAR + 2 * EDGE)
    image, small = Image.open(BytesIO(picture)).convert("RGB"), BytesIO()
    image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def save(names: list[str]) -> None:
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "models" / "loras").mkdir(parents=True)
        (folder / "models" / "loras" / LORA).touch()
        with open_comfyui(folder) as page:
            for language, pictures in FOLDERS.items():
                pictures.mkdir(parents=True, exist_ok=True)
                open_graph(page, language, folder / "comfyui" / "output" / "plans")
                for node in names:
                    (pictures / f"{node}.png").write_bytes(photograph(page, node))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", default=NODES, metavar="NODE", help="ids of nodes (default: all)")
    save(arguments.parse_args().names)
