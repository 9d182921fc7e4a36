"""GLM-Image Plan Preview in ComfyUI's page, under a real mouse and keyboard."""

import json
import time
from dataclasses import dataclass

from glm_core.plans import Look, Plan, draw_panels
from tests.host.graphs import make_node, save_tensors
from tests.support.browser import Page
from tests.support.servers import Server

ALT, CTRL, SHIFT = 1, 2, 8  # as the DevTools protocol counts them
PREVIEW = "Preview"
PLACES = {"Load": [20, 60], PREVIEW: [300, 60], "Mask": [720, 60], "Save": [720, 160]}
ARRANGE = """places => {
    for (const node of app.graph.nodes) {
        node.pos = places[node.title]
        if (node.title === "Preview") node.setSize([340, 470])
    }
    return JSON.parse(JSON.stringify(app.graph.serialize()))
}"""
OPEN = """async graph => {
    await app.loadGraphData(graph)
    app.canvas.ds.scale = 0.8
    app.canvas.ds.offset = [0, 60]
    app.canvas.setDirty(true, true)
}"""
RUN = """(async () => {
    const {api} = await import("/scripts/api.js")
    await new Promise((resolve, reject) => {
        api.addEventListener("execution_success", resolve, {once: true})
        api.addEventListener("execution_error", event => reject(Error(event.detail.exception_message)), {once: true})
        app.queuePrompt(0, 1)
    })
})()"""
VALUE = "document.querySelector('.glm-plan') && app.graph.nodes.find(node => node.comfyClass === " \
        "'GLMImagePlanPreview')?.widgets.at(-1).value"
PICTURE = """(() => {
    const {x, y, width, height} = document.querySelector(".glm-plan .picture").getBoundingClientRect()
    return [x, y, width, height]
})()"""


def preview_graph(file: str, **inputs) -> dict:
    """A saved plan, its preview, and its mask, which is written to page.mask.safetensors as an image."""
    nodes = {
        "1": ("Load", make_node("GLMImageLoadPlan", file=file)),
        "2": (PREVIEW, make_node("GLMImagePlanPreview", plan=["1", 0], **inputs)),
        "3": ("Mask", make_node("MaskToImage", mask=["2", 1])),
        "4": ("Save", save_tensors("page.mask", image=["3", 0])),
    }
    return {key: node | {"_meta": {"title": title}} for key, (title, node) in nodes.items()}


@dataclass
class PreviewPage:
    """The page with one preview of a plan, which stands in the server's input folder as page.safetensors."""

    page: Page
    server: Server
    nodes2: bool
    plan: Plan
    look: Look

    def open(self, selection: str = "") -> None:
        self.plan.save(self.server.inputs / "page.safetensors")
        inputs = {"grid": self.look.grid, "cell": self.look.cell, "show": self.look.show, "marks": self.look.marks}
        graph = preview_graph("page.safetensors", selection=selection, **inputs)
        self.page.evaluate("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
        self.page.call("graph => app.loadApiJson(graph, 'preview')", graph)
        arranged = self.page.call(ARRANGE, PLACES)
        self.page.evaluate(f"app.extensionManager.setting.set('Comfy.VueNodes.Enabled', {json.dumps(self.nodes2)})")
        self.page.evaluate("new Promise(resolve => setTimeout(resolve, 300))")
        self.page.call(OPEN, arranged)
        self.wait_for_widget()

    def wait_for_widget(self) -> None:
        """Until the widget is where it stays."""
        self.page.wait_for("document.querySelector('.glm-plan .picture')?.getBoundingClientRect().width > 50")
        last = None
        while last != (last := self.page.evaluate(PICTURE)):
            time.sleep(0.3)

    def run(self) -> None:
        """As the Run button does, until the run has ended and the plan is shown."""
        self.page.evaluate(RUN)
        self.page.wait_for("document.querySelector('.glm-plan image').getAttribute('href')")
        self.wait_for_widget()

    @property
    def value(self) -> str:
        return self.page.evaluate(VALUE)

    @property
    def status(self) -> str:
        return self.page.evaluate("document.querySelector('.glm-plan output').textContent")

    def place(self, row: int, column: int, grid: str = "target") -> tuple[float, float]:
        """The middle of a token in the window, in pixels."""
        picture, panels = draw_panels(self.plan, self.look)
        left, top, width, height = next(panel.box for panel in panels if panel.grid == grid)
        rows, columns = self.plan.grid(grid).shape[1:]
        x, y = left + (column + 0.5) * width / columns, top + (row + 0.5) * height / rows
        box = self.page.evaluate(PICTURE)
        return box[0] + x * box[2] / picture.shape[2], box[1] + y * box[3] / picture.shape[1]

    def point(self, row: int, column: int, grid: str = "target") -> None:
        self.page.mouse("mouseMoved", *self.place(row, column, grid))

    def point_elsewhere(self) -> None:
        self.page.mouse("mouseMoved", 5, 795)

    def drag(self, start: tuple[int, int], end: tuple[int, int], modifiers: int = 0) -> None:
        self.page.mouse("mouseMoved", *self.place(*start), modifiers=modifiers)
        self.page.mouse("mousePressed", *self.place(*start), held=True, modifiers=modifiers)
        self.page.mouse("mouseMoved", *self.place(*end), held=True, modifiers=modifiers)
        self.page.mouse("mouseReleased", *self.place(*end), modifiers=modifiers)

    def focus(self) -> None:
        self.page.evaluate("document.querySelector('.glm-plan svg').focus()")

    def press(self, *keys: str, modifiers: int = 0) -> None:
        for key in keys:
            self.page.key(key, modifiers)

    def click(self, button: str) -> None:
        """One of the buttons below the plan: back, next or clear."""
        self.page.evaluate(f"document.querySelector('.glm-plan .{button}').click()")
