"""GLM-Image Plan Preview in ComfyUI's page: tokens under the mouse, and their selection as a mask.

In both node renderers of the page, the classic one and Nodes 2.0.
"""

import json
import random
import urllib.parse
import urllib.request
from collections.abc import Callable

import pytest
import torch

from glm_core.plans import DROPPED, Look, Plan, pixel_mask, selected_region
from tests.host.graphs import error_message, load_saved
from tests.host.page_actions import COPY, RELOAD, REMOVE_ALL_BUT, TO_SUBGRAPH, exported
from tests.host.preview_page import ALT, CTRL, PREVIEW, SHIFT, PreviewPage, preview_graph

ROWS, COLUMNS = 4, 6
MODULE = "/extensions/glm-image-native/js/selection.js"


def make_plan(batch: int = 1, rows: int = ROWS) -> Plan:
    """Item i has the ids from 100 + 1000 i on; tokens have 2, 4, 6 … percent, those of the coarse grid first."""
    items = 1000 * torch.arange(batch).view(-1, 1, 1)
    ids = items + 100 + torch.arange(rows * COLUMNS).view(1, rows, COLUMNS)
    coarse = items + torch.arange(6).view(1, 2, 3)
    probabilities = torch.arange(1, rows * COLUMNS + 7) / 50
    return Plan(ids, coarse, log_probs=probabilities.log().expand(batch, -1).contiguous())


def text_of(*cells: tuple[int, int], columns: int = COLUMNS, rows: int = ROWS) -> str:
    """A selection of cells (row, column) as text, in runs of one cell."""
    return f"{columns}x{rows}:" + ",".join("0,1" if (i // columns, i % columns) in cells else "1,0"
                                          for i in range(rows * columns))


def region(text: str) -> torch.Tensor:
    return selected_region(text, ROWS, COLUMNS)


def rectangle(start: tuple[int, int], end: tuple[int, int]) -> set[tuple[int, int]]:
    return {(row, column) for row in range(start[0], end[0] + 1) for column in range(start[1], end[1] + 1)}


def check_selected(preview: PreviewPage, cells: set[tuple[int, int]]) -> None:
    assert torch.equal(region(preview.value), region(text_of(*cells)))


@pytest.fixture(params=[False, True], ids=["classic", "nodes2"])
def open_preview(request, page, server) -> Callable[..., PreviewPage]:
    def show(plan: Plan | None = None, look: Look = Look(), selection: str = "", run: bool = True) -> PreviewPage:
        preview = PreviewPage(page, server, request.param, plan or make_plan(), look)
        preview.open(selection)
        if run:
            preview.run()
        return preview

    yield show
    page.evaluate("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


def test_tokens_are_named_and_selected_with_the_mouse(server, open_preview):
    preview = open_preview()
    assert preview.status == "Drag to select. Shift adds, Alt removes."
    preview.point(2, 3)
    assert preview.status == "row 2, column 3 · token 115 · 44 %"
    preview.drag((1, 1), (3, 4))
    check_selected(preview, rectangle((1, 1), (3, 4)))
    preview.drag((0, 5), (0, 5), SHIFT)
    preview.drag((3, 3), (2, 2), ALT)
    expected = (rectangle((1, 1), (3, 4)) | {(0, 5)}) - rectangle((2, 2), (3, 3))
    check_selected(preview, expected)
    preview.point_elsewhere()
    assert preview.status == f"{len(expected)} of 24 tokens selected"
    selection = preview.value
    preview.page.call(RELOAD)
    preview.wait_for_widget()
    assert preview.value == selection
    preview.drag((3, 0), (3, 0), SHIFT)
    preview.run()
    mask = load_saved(server, "page.mask")["image"][..., 0]
    assert torch.equal(mask, pixel_mask(region(text_of(*expected, (3, 0)))))


@pytest.mark.long
def test_a_rectangle_replaces_the_selection_and_ends_at_the_edge(open_preview):
    preview = open_preview(selection=text_of((0, 0), (3, 5)))
    preview.drag((1, 1), (9, 2))
    check_selected(preview, rectangle((1, 1), (3, 2)))
    preview.click("clear")
    assert preview.value == ""


@pytest.mark.long
def test_keys_do_what_the_mouse_does(open_preview):
    preview = open_preview()
    nodes = preview.page.evaluate("app.graph.nodes.length")
    preview.focus()
    preview.press("ArrowDown")
    assert preview.status == "row 0, column 0 · token 100 · 14 %"
    preview.press("ArrowDown", "ArrowRight")
    assert preview.status == "row 1, column 1 · token 107 · 28 %"
    preview.press("Enter", "ArrowDown", "ArrowRight", "ArrowRight", "Enter")
    check_selected(preview, rectangle((1, 1), (2, 3)))
    preview.press("ArrowDown", "ArrowDown")
    preview.press("Enter", modifiers=SHIFT)
    preview.press(*["ArrowRight"] * 9, " ")
    check_selected(preview, rectangle((1, 1), (2, 3)) | rectangle((3, 3), (3, 5)))
    preview.press(*["ArrowLeft"] * 2)
    preview.press("Enter", modifiers=ALT)
    preview.press(*["ArrowUp"] * 2, "Enter")
    kept = rectangle((1, 1), (2, 2)) | rectangle((3, 4), (3, 5))
    check_selected(preview, kept)
    preview.press("Enter", "ArrowLeft", "Escape")
    check_selected(preview, kept)
    preview.press("Delete")
    assert preview.value == ""
    assert preview.page.evaluate("app.graph.nodes.length") == nodes


@pytest.mark.long
def test_a_copy_has_the_selection(open_preview):
    selection = text_of((1, 2))
    preview = open_preview(selection=selection, run=False)
    copies = preview.page.call(COPY, ["Load", PREVIEW, "Mask", "Save"], False)
    preview.page.call(REMOVE_ALL_BUT, copies)
    preview.wait_for_widget()
    assert preview.value == selection
    preview.run()
    preview.drag((0, 0), (0, 1))
    check_selected(preview, rectangle((0, 0), (0, 1)))


@pytest.mark.long
def test_in_a_subgraph(server, open_preview):
    preview = open_preview(selection=text_of((1, 2)), run=False)
    preview.page.call(TO_SUBGRAPH, [PREVIEW, "Mask"])
    preview.page.call(RELOAD)
    inputs = {node["class_type"]: node["inputs"] for node in exported(preview.page).values()}
    assert inputs["GLMImagePlanPreview"]["selection"] == text_of((1, 2))
    preview.page.evaluate("app.canvas.setGraph(app.graph.nodes.find(node => node.subgraph).subgraph)")
    preview.page.evaluate("app.canvas.ds.offset = [-200, 60]; app.canvas.setDirty(true, true)")
    preview.wait_for_widget()
    preview.run()
    preview.point(0, 0)
    assert preview.status == "row 0, column 0 · token 100 · 14 %"
    preview.drag((2, 0), (3, 1))
    preview.run()
    mask = load_saved(server, "page.mask")["image"][..., 0]
    assert torch.equal(mask, pixel_mask(region(text_of(*rectangle((2, 0), (3, 1))))))


@pytest.mark.long
def test_undo_brings_back_the_selection_and_keeps_the_plan(open_preview):
    preview = open_preview()
    preview.drag((0, 0), (0, 0))
    preview.drag((1, 1), (1, 1))
    preview.press("z", modifiers=CTRL)
    preview.page.wait_for("document.querySelector('.glm-plan image').getAttribute('href') && "
                          "document.querySelector('.glm-plan output').textContent === '1 of 24 tokens selected'")
    preview.wait_for_widget()
    check_selected(preview, {(0, 0)})
    preview.drag((2, 2), (2, 2), SHIFT)
    check_selected(preview, {(0, 0), (2, 2)})
    preview.point(1, 0)
    assert preview.status == "row 1, column 0 · token 106 · 26 %"


@pytest.mark.long
def test_both_grids_of_a_batch(open_preview):
    preview = open_preview(make_plan(batch=2), Look("both", 16, "confidence", "lines and numbers"))
    preview.point(1, 2, "preview")
    assert preview.status == "preview grid: row 1, column 2 · token 5 · 12 %"
    preview.click("next")
    preview.point(3, 5)
    assert preview.status == "row 3, column 5 · token 1123 · 60 %"
    preview.drag((1, 2), (1, 3))
    check_selected(preview, {(1, 2), (1, 3)})


@pytest.mark.long
def test_the_preview_grid_alone_is_for_looking(open_preview):
    preview = open_preview(look=Look("preview"), selection=text_of((1, 2)))
    preview.point_elsewhere()
    assert preview.status == "To select, set grid to target or both."
    preview.page.mouse("mousePressed", *preview.place(0, 0, "preview"), held=True)
    preview.page.mouse("mouseReleased", *preview.place(1, 1, "preview"))
    assert preview.value == text_of((1, 2))


@pytest.mark.long
def test_a_selection_of_another_size_is_named_and_replaced(server, open_preview):
    selection = text_of((1, 2), columns=5)
    preview = open_preview(selection=selection)
    preview.point_elsewhere()
    assert preview.status == "The selection is of a plan of 5 x 4 tokens and is ignored."
    assert not load_saved(server, "page.mask")["image"].any()
    preview.drag((0, 0), (0, 1), SHIFT)
    check_selected(preview, {(0, 0), (0, 1)})


@pytest.mark.long
def test_before_a_run_the_selection_is_shown(open_preview):
    preview = open_preview(run=False)
    assert preview.status == "Run to see the plan."
    preview = open_preview(selection=text_of((1, 2), (1, 3)), run=False)
    assert preview.status == "2 of 24 tokens selected"
    preview.drag((0, 0), (0, 0), SHIFT)
    check_selected(preview, {(1, 2), (1, 3), (0, 0)})


@pytest.mark.long
def test_cells_without_a_token(open_preview):
    plan = make_plan()
    preview = open_preview(Plan(torch.full_like(plan.ids, DROPPED)))
    preview.point(0, 0)
    assert preview.status == "row 0, column 0 · no token"


@pytest.mark.long
def test_in_chinese(open_preview):
    preview = open_preview()
    preview.page.evaluate("app.extensionManager.setting.set('Comfy.Locale', 'zh')")
    try:
        preview.point(0, 0)
        assert preview.status == "第 0 行，第 0 列 · token 100 · 14 %"
        preview.point_elsewhere()
        assert preview.status == "拖动以选择。Shift 添加，Alt 去除。"
    finally:
        preview.page.evaluate("app.extensionManager.setting.set('Comfy.Locale', 'en')")


def test_page_and_server_read_the_same_selections(page):
    """What the page writes, shortest runs first, is what the server reads."""
    draw = random.Random(0)
    for _ in range(50):
        rows, columns = draw.randint(1, 9), draw.randint(1, 9)
        cells = draw.choices([0, 1], [draw.random() + 0.01, draw.random()], k=rows * columns)
        written = page.call("""async (url, columns, rows, cells) => {
            const selections = await import(url)
            const text = selections.write({columns, rows, cells: Uint8Array.from(cells)})
            return [text, Array.from(selections.read(text)?.cells ?? [])]
        }""", MODULE, columns, rows, cells)
        assert written[1] == (cells if any(cells) else [])
        assert selected_region(written[0], rows, columns).flatten().tolist() == [bool(cell) for cell in cells]


def run_preview(server, plan: Plan, **inputs) -> tuple[dict, torch.Tensor]:
    """What the page is told of a run, and the mask."""
    plan.save(server.inputs / "page.safetensors")
    graph = preview_graph("page.safetensors", grid="target", cell=4, **inputs)
    shown = server.run(graph)["2"]
    return shown, load_saved(server, "page.mask")["image"][..., 0]


def test_the_mask_is_that_of_the_selection(server):
    _, mask = run_preview(server, make_plan(), selection=text_of((1, 2), (3, 5)))
    assert torch.equal(mask, pixel_mask(region(text_of((1, 2), (3, 5)))))


@pytest.mark.parametrize("inputs", [{}, {"selection": ""}, {"selection": text_of((1, 2), columns=5)}])
def test_without_a_selection_of_this_size_the_mask_is_empty(server, inputs):
    _, mask = run_preview(server, make_plan(batch=2), **inputs)
    assert mask.shape == (1, 32 * ROWS, 32 * COLUMNS)
    assert not mask.any()


def test_tokens_reach_the_page_in_one_file(server):
    shown, _ = run_preview(server, make_plan(batch=2))
    assert len(json.dumps(shown)) < 1000
    (file,) = shown["glm_image_tokens"]
    with urllib.request.urlopen(f"{server.url}/view?{urllib.parse.urlencode(file)}") as answer:
        (grid,) = json.load(answer)["grids"]
    assert grid["ids"] == make_plan(batch=2).ids.flatten(1).tolist()
    again, _ = run_preview(server, make_plan(batch=2), selection=text_of((0, 0)))
    assert again["glm_image_tokens"] == shown["glm_image_tokens"]


def test_a_bad_selection_is_an_error_of_one_line(server):
    make_plan().save(server.inputs / "page.safetensors")
    graph = preview_graph("page.safetensors", grid="target", cell=4, selection="6x4:a")
    assert error_message(server, graph).strip() == (
        'selection must be empty or COLUMNSxROWS:RUN,RUN,… such as "4x2:1,2,2,2" (got \'6x4:a\')')
