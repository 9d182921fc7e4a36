"""What the page gets from the pack besides nodes: workflows, help and translations."""

import json
import urllib.request
from io import BytesIO
from itertools import combinations

import pytest
from PIL import Image

from tests.support.servers import PACK, load_workflow

WORKFLOWS = sorted(path.stem for path in (PACK / "workflows").glob("*.json"))
TITLE_BAR = 30
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
CONTROL, UPLOAD = "control_after_generate", "upload"  # the page's own widgets; they stand after the seed or the picture's name


@pytest.fixture(scope="module")
def node_info(server) -> dict:
    return server.get("/object_info")


@pytest.fixture(scope="module")
def pack_info(node_info) -> dict:
    return {name: info for name, info in node_info.items() if info["python_module"].endswith("glm-image-native")}


def load_page_workflow(name: str) -> dict:
    return json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def input_specs(info: dict) -> dict:
    return {name: spec for group in ("required", "optional") for name, spec in info["input"].get(group, {}).items()}


def widget_names(info: dict) -> list[str]:
    """The widgets of a node in the order in which the page keeps their values."""
    names = []
    for name, (kind, *options) in input_specs(info).items():
        if isinstance(kind, list) or kind in WIDGETS:
            settings = options[0] if options else {}
            names += [name] + [CONTROL] * bool(settings.get(CONTROL)) + [UPLOAD] * bool(settings.get("image_upload"))
    return names


def widget_values(node: dict, info: dict) -> dict:
    return dict(zip(widget_names(info), node.get("widgets_values", []), strict=True))


def api_form(graph: dict, node_info: dict) -> dict:
    """The page's workflow in API form, as Export (API) of the page would write it."""
    sources = {link: [str(source), slot] for link, source, slot, *_ in graph["links"]}
    prompt = {}
    for node in graph["nodes"]:
        values = widget_values(node, node_info[node["type"]])
        links = {slot["name"]: sources[slot["link"]] for slot in node["inputs"] if slot["link"] is not None}
        inputs = {name: value for name, value in (values | links).items() if name not in (CONTROL, UPLOAD)}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def test_every_api_workflow_has_its_page_form():
    assert sorted(path.stem for path in (PACK / "workflows" / "api").glob("*.json")) == WORKFLOWS


def test_templates_have_the_pictures_that_the_page_asks_for(server):
    """All but the one with two references, which the embedded model, whose work they are, has not learned."""
    for name in set(WORKFLOWS) - {"edit_multi_image"}:
        with urllib.request.urlopen(f"{server.url}/api/workflow_templates/glm-image-native/{name}.jpg", timeout=30) as answer:
            assert Image.open(BytesIO(answer.read())).size == (256, 256)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_page_and_api_forms_are_the_same_graph(node_info, name):
    expected = {key: {"class_type": node["class_type"], "inputs": node["inputs"]} for key, node in load_workflow(name).items()}
    assert api_form(load_page_workflow(name), node_info) == expected


@pytest.mark.parametrize("name", WORKFLOWS)
def test_seeds_stay_fixed(node_info, name):
    values = [widget_values(node, node_info[node["type"]]) for node in load_page_workflow(name)["nodes"]]
    controls = [node[CONTROL] for node in values if CONTROL in node]
    planned = any(node["class_type"] == "GLMImagePlan" for node in load_workflow(name).values())
    assert controls == ["fixed"] * (1 + planned)  # of the sampler's noise and of the planner


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nodes_do_not_overlap(name):
    boxes = {}
    for node in load_page_workflow(name)["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        boxes[node["id"]] = x, y - TITLE_BAR, x + width, y + height
    for (one, (left, top, right, bottom)), (other, (left2, top2, right2, bottom2)) in combinations(boxes.items(), 2):
        assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top, f"nodes {one} and {other}"


def test_every_node_has_help_that_names_its_inputs(server, pack_info):
    assert {path.stem for path in (PACK / "web" / "docs").iterdir()} == set(pack_info)
    for node, info in pack_info.items():
        with urllib.request.urlopen(f"{server.url}/extensions/glm-image-native/docs/{node}.md") as answer:
            text = answer.read().decode()
        for name in input_specs(info):
            assert f"**{name}**" in text, f"{node}.{name}"


def test_translation_has_every_node_and_input_and_no_others(server, pack_info):
    translated = server.get("/i18n")["zh"]["nodeDefs"]
    assert set(translated) == set(pack_info)
    for node, info in pack_info.items():
        entry = translated[node]
        assert entry["display_name"] and entry["description"]
        assert set(entry["inputs"]) == set(input_specs(info)) | set(widget_names(info)), node
        assert all(spec["name"] and (spec.get("tooltip") or name == CONTROL) for name, spec in entry["inputs"].items()), node
        assert list(entry["outputs"]) == [str(i) for i in range(len(info["output"]))], node
