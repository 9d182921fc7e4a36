"""What users read: help pages, translations, documents and workflows.

The tests of the first half need no ComfyUI: they read the nodes from their source files.
"""

import json
import re
import urllib.request
from collections.abc import Iterable
from io import BytesIO

import pytest
from PIL import Image

from tests.support.chinese_texts import english_words
from tests.support.hosts import PACK
from tests.support.node_sources import read_nodes, registered_modules
from tests.support.page_files import running_nodes, sources
from tests.support.servers import load_workflow, workflow_names

NODES = read_nodes()
HELP, CHINESE = "web/docs", "locales/zh/nodeDefs.json"
PICTURES = "pictures"  # folder in HELP; links in all help pages start from HELP, in ComfyUI's page
LARGEST_PICTURE, LARGEST_PICTURES = 16_000, 800_000  # bytes, of one and of all
DRAW = "draw it with python -m tests.host.save_help_pictures"
DOCUMENT_FOLDERS = "", "docs", HELP, "glm_core/embedded", "tests/benchmarks"
CHINESE_HELP = sorted((PACK / HELP).glob("*/zh.md"))
DOCUMENTS = [path for folder in DOCUMENT_FOLDERS for path in sorted((PACK / folder).glob("*.md"))] + CHINESE_HELP
WORKFLOWS = workflow_names()
REMAKE = "remake the workflows with python -m tests.host.save_workflows"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
SEEDS = "seed", "noise_seed"  # these get the control of seeds in any case
TEXT_PREVIEW = "PreviewAny"  # its widgets are the page's own
CONTROL, UPLOAD = "control_after_generate", "upload"  # the page's own widgets; they follow the seed or the image's name


def fail_on(problems: Iterable[str]) -> None:
    """Fail with a line for each problem, which says what to do."""
    lines = list(problems)
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


def differences(found: set[str], expected: set[str], missing: str, stray: str) -> list[str]:
    """The message ``missing`` for each name that was expected and not found, ``stray`` for each the other way round."""
    return ([missing.format(name) for name in sorted(expected - found)]
            + [stray.format(name) for name in sorted(found - expected)])


def help_files(node_id: str) -> dict[str, str]:
    """Language → help page, below HELP, where ComfyUI's page looks for it."""
    return {"English": f"{node_id}.md", "Chinese": f"{node_id}/zh.md"}


def picture_files(node_id: str) -> dict[str, str]:
    return {"English": f"{PICTURES}/{node_id}.png", "Chinese": f"{PICTURES}/zh/{node_id}.png"}


def files_of_help(node_id: str) -> list[str]:
    """Below HELP."""
    return [*help_files(node_id).values(), *picture_files(node_id).values()]


def read_help(file: str) -> str:
    return (PACK / HELP / file).read_text(encoding="utf-8")


def read_chinese() -> dict:
    return json.loads((PACK / CHINESE).read_text(encoding="utf-8"))


def test_every_module_of_nodes_is_registered():
    unregistered = {node.module for node in NODES} - set(registered_modules())
    fail_on(f"nodes/{name}.py is not registered: add {name} to MODULES in nodes/__init__.py" for name in unregistered)


@pytest.mark.parametrize("language", ["English", "Chinese"])
@pytest.mark.parametrize("node", NODES, ids=lambda node: node.node_id)
def test_node_has_a_help_page_that_names_its_inputs(node, language):
    page = help_files(node.node_id)[language]
    if not (PACK / HELP / page).exists():
        fail_on([f"{node.node_id} has no help page in {language}: write {HELP}/{page}"])
    text, chinese = read_help(page), read_chinese().get(node.node_id, {"inputs": {}})["inputs"]
    names = node.inputs if language == "English" else [chinese.get(name, {}).get("name", name) for name in node.inputs]
    fail_on(f"{HELP}/{page} does not describe {name}: add a line that begins with - **{name}**"
            for name in names if f"**{name}**" not in text)


@pytest.mark.parametrize("language", ["English", "Chinese"])
@pytest.mark.parametrize("node", NODES, ids=lambda node: node.node_id)
def test_help_page_shows_a_picture_of_the_node(node, language):
    page, picture = help_files(node.node_id)[language], picture_files(node.node_id)[language]
    if not (PACK / HELP / picture).exists():
        fail_on([f"{HELP}/{picture} is missing: {DRAW}"])
    assert f"]({picture})" in read_help(page), f"{HELP}/{page} must show {picture}"
    assert (PACK / HELP / picture).stat().st_size <= LARGEST_PICTURE


def test_help_pages_and_pictures_belong_to_nodes():
    expected = {file for node in NODES for file in files_of_help(node.node_id)}
    found = [path for path in (PACK / HELP).rglob("*") if path.is_file()]
    stray = {path.relative_to(PACK / HELP).as_posix() for path in found} - expected
    fail_on(f"{HELP}/{name} belongs to no node: delete or rename it" for name in sorted(stray))
    assert sum(path.stat().st_size for path in found if path.suffix == ".png") <= LARGEST_PICTURES


def texts_in(value: dict | str) -> list[str]:
    return [value] if isinstance(value, str) else [text for inner in value.values() for text in texts_in(inner)]


@pytest.mark.parametrize("file", [*CHINESE_HELP, *sorted((PACK / "locales" / "zh").glob("*.json"))],
                         ids=lambda path: path.relative_to(PACK).as_posix())
def test_chinese_texts_have_no_english_but_names(file):
    text = file.read_text(encoding="utf-8")
    texts = texts_in(json.loads(text)) if file.suffix == ".json" else [text]
    fail_on(f"{file.relative_to(PACK)} has {word} in it: translate it, or add it to tests/support/chinese_texts.py"
            for text in texts for word in english_words(text))


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.node_id)
def test_node_has_a_complete_chinese_entry(node):
    entry = read_chinese().get(node.node_id)
    if entry is None:
        fail_on([f"{node.node_id} has no Chinese entry: add it to {CHINESE}"])
    problems = differences(set(entry["inputs"]) - {CONTROL}, set(node.inputs),
                           node.node_id + " has no Chinese text for the input {0}: add it to " + CHINESE,
                           node.node_id + " has no input {0}: delete or rename it in " + CHINESE)
    texts = {key: entry.get(key) for key in ("display_name", "description")}
    for name, spec in entry["inputs"].items():
        keys = ("name",) if name == CONTROL else ("name", "tooltip")
        texts |= {f"inputs.{name}.{key}": spec.get(key) for key in keys}
    problems += [f"{node.node_id} lacks {key} in {CHINESE}: write it" for key, text in texts.items() if not text]
    fail_on(problems)


def test_chinese_entries_belong_to_nodes():
    stray = set(read_chinese()) - {node.node_id for node in NODES}
    fail_on(f"{name} is no node, but has a Chinese entry: delete or rename it in {CHINESE}" for name in sorted(stray))


def test_readme_lists_every_node():
    section = (PACK / "README.md").read_text(encoding="utf-8").split("\n## Nodes\n")[1].split("\n## ")[0]
    _, _, *rows = re.findall(r"^\| *([^|]*?) *\|", section, re.MULTILINE)  # below the heading and its rule
    fail_on(differences(set(rows), {node.display_name for node in NODES},
                        "{0} is not in the table of README.md, section Nodes: add a row",
                        "{0} is in the table of README.md, section Nodes, but is no node: delete or rename the row"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(PACK).as_posix())
def test_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)\s#]+)", document.read_text(encoding="utf-8"))
    files = [link for link in links if not link.startswith(("http://", "https://"))]
    start = PACK / HELP if document in CHINESE_HELP else document.parent
    fail_on(f"{document.relative_to(PACK)} links to {link}, which does not exist: correct the link"
            for link in files if not (start / link).exists())


def load_page_workflow(name: str) -> dict:
    return json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


# From here on a running ComfyUI is asked.


@pytest.fixture(scope="module")
def node_info(server) -> dict:
    return server.get("/object_info")


@pytest.fixture(scope="module")
def pack_info(node_info) -> dict:
    return {name: info for name, info in node_info.items() if info["python_module"].endswith("glm-image-native")}


def input_specs(info: dict) -> dict:
    return {name: spec for group in ("required", "optional") for name, spec in info["input"].get(group, {}).items()}


def widget_names(info: dict) -> list[str]:
    """The widgets of a node in the order in which the page keeps their values."""
    names = []
    for name, (kind, *options) in input_specs(info).items():
        settings = options[0] if options else {}
        if (isinstance(kind, list) or kind in WIDGETS) and not settings.get("forceInput"):
            has_control = settings.get(CONTROL) or name in SEEDS
            names += [name] + [CONTROL] * bool(has_control) + [UPLOAD] * bool(settings.get("image_upload"))
    return names


def widget_values(node: dict, info: dict) -> dict:
    names, values = widget_names(info), node.get("widgets_values", [])
    if node["type"] == TEXT_PREVIEW:
        return {}
    if len(names) != len(values):
        pytest.fail(f"{node['type']} has the widgets {names}, but the workflow holds {values}: {REMAKE}", pytrace=False)
    return dict(zip(names, values))


def api_form(graph: dict, node_info: dict) -> dict:
    """The page's workflow in API form, as Export (API) of the page would write it, but with the ids of the file."""
    origins = sources(graph)
    prompt = {}
    for node in running_nodes(graph):
        values = widget_values(node, node_info[node["type"]])
        links = {slot["name"]: origins[node["id"], i] for i, slot in enumerate(node["inputs"])
                 if (node["id"], i) in origins}
        inputs = {name: value for name, value in (values | links).items() if name not in (CONTROL, UPLOAD)}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def test_sources_say_what_comfyui_registers(pack_info):
    """Then what the tests above read in the source files holds."""
    read = {node.node_id: (node.display_name, set(node.inputs)) for node in NODES}
    assert read == {name: (info["display_name"], set(input_specs(info))) for name, info in pack_info.items()}


def test_comfyui_serves_the_help_pages(server, pack_info):
    for file in (file for node in pack_info for file in files_of_help(node)):
        with urllib.request.urlopen(f"{server.url}/extensions/glm-image-native/docs/{file}") as answer:
            assert answer.read() == (PACK / HELP / file).read_bytes()


def test_comfyui_serves_the_translation(server, pack_info):
    assert server.get("/i18n")["zh"]["nodeDefs"] == read_chinese()
    for node, info in pack_info.items():
        entry = read_chinese()[node]
        assert set(entry["inputs"]) == (set(input_specs(info)) | set(widget_names(info))) - {UPLOAD}, node
        tooltips = info.get("output_tooltips") or [None] * len(info["output"])
        described = {str(i): bool(tooltip) for i, tooltip in enumerate(tooltips)}
        assert {key: "tooltip" in output for key, output in entry["outputs"].items()} == described, node


def test_templates_have_the_pictures_that_the_page_asks_for(server):
    """The embedded model drew them."""
    folder = f"{server.url}/api/workflow_templates/glm-image-native"
    for name in WORKFLOWS:
        with urllib.request.urlopen(f"{folder}/{name}.jpg", timeout=30) as answer:
            assert Image.open(BytesIO(answer.read())).size == (256, 256)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_page_and_api_forms_are_the_same_graph(node_info, name):
    expected = {key: {"class_type": node["class_type"], "inputs": node["inputs"]}
                for key, node in load_workflow(name).items()}
    assert api_form(load_page_workflow(name), node_info) == expected, REMAKE


@pytest.mark.parametrize("name", WORKFLOWS)
def test_seeds_stay_fixed(node_info, name):
    nodes = running_nodes(load_page_workflow(name))
    values = [widget_values(node, node_info[node["type"]]) for node in nodes]
    controls = [node[CONTROL] for node in values if CONTROL in node]
    assert controls and set(controls) == {"fixed"}
