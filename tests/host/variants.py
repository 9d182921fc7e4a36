"""Apps and blueprints: what else is made of the shipped workflows.

An app is a workflow that ComfyUI's page (since its version 1.40) opens as a form with a Run button; older pages open
the graph. A blueprint is a subgraph alone, which the page lists among the nodes.
"""

import copy
import json
import uuid
from dataclasses import dataclass

from tests.support.page_files import subgraphs_of


@dataclass(frozen=True)
class App:
    """fields: title of a node, its widget, the label in the form; in their order."""

    fields: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Blueprint:
    """workflow: name. subgraph: the name of its subgraph, and of the file. category: where the page lists it."""

    workflow: str
    subgraph: str
    category: str
    description: str


DETAILS = (("KSampler", "seed", "Seed of the details"), ("KSampler", "steps", "Steps"))
SIZE = (("GLM-Image Plan", "width", "Width"), ("GLM-Image Plan", "height", "Height"))
APPS = {
    "text_to_image": App((("GLM-Image Plan", "prompt", "What to draw"), *SIZE,
                          ("GLM-Image Plan", "seed", "Seed of the layout"), *DETAILS)),
    "edit_image": App((("GLM-Image Plan (poster)", "prompt", "Poster to draw first"),
                       ("GLM-Image Plan", "prompt", "What to change in it"),
                       ("GLM-Image Plan", "seed", "Seed of the layout"), *DETAILS)),
    "best_of_eight": App((("GLM-Image Plan", "prompt", "What to draw"), *SIZE,
                          ("GLM-Image Plan", "batch_size", "Plans to choose from"),
                          ("GLM-Image Plan", "seed", "Seed of the first plan"), *DETAILS)),
}
BLUEPRINTS = (
    Blueprint("text_to_image", "Text to Image (GLM-Image)", "Image generation and editing/Text to image",
              "Draws an image from a prompt. Texts in quotation marks are written in it."),
    Blueprint("edit_image", "Image Edit (GLM-Image)", "Image generation and editing/Edit image",
              "Edits an image as a prompt asks."),
    Blueprint("draft_choose_finish", "Draft, Choose, Finish (GLM-Image)",
              "Image generation and editing/Text to image",
              "Drafts several layouts for a contact sheet, and finishes and draws the one that is chosen."),
)


def as_app(name: str, graph: dict, titles: dict[int, str]) -> dict:
    """A workflow as an app. graph: as the page saves it. titles: of all nodes, by id."""
    graph, app = copy.deepcopy(graph), APPS[name]
    ids = {title: key for key, title in titles.items()}
    labels = {(ids[title], widget): label for title, widget, label in app.fields}
    for node in (node for subgraph in subgraphs_of(graph) for node in subgraph["nodes"]):
        for slot in node["inputs"]:
            label = labels.get((node["id"], slot.get("widget", {}).get("name")))
            if label:
                slot["label"] = label
        if (node["id"], "seed") in labels and "Plan" in node["type"]:  # another image with every run
            node["widgets_values"] = ["randomize" if value == "fixed" else value for value in node["widgets_values"]]
    inputs = [[str(ids[title]), widget] for title, widget, _ in app.fields]
    view = {"linearMode": True, "linearData": {"inputs": inputs, "outputs": [str(ids["Save Image"])]}}
    return graph | {"id": new_id(f"{name}.app"), "extra": graph["extra"] | view}


def as_blueprint(blueprint: Blueprint, graph: dict) -> dict:
    """The file of a blueprint. graph: the workflow that has the subgraph, as the page saves it."""
    found = next(one for one in subgraphs_of(graph) if one["name"] == blueprint.subgraph)
    definition = copy.deepcopy(found) | {"id": new_id(f"blueprint/{blueprint.subgraph}"),
                                         "category": blueprint.category, "description": blueprint.description}
    node = copy.deepcopy(next(node for node in graph["nodes"] if node["type"] == found["id"]))
    for slot in node["inputs"]:
        slot["link"] = None
    for slot in node["outputs"]:
        slot["links"] = []
    node |= {"type": definition["id"], "title": blueprint.subgraph, "pos": [0, 0]}
    return {"revision": 0, "last_node_id": node["id"], "last_link_id": 0, "nodes": [node], "links": [],
            "version": graph["version"], "definitions": {"subgraphs": [definition]}, "extra": {}}


def new_id(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


def to_json(graph: dict) -> str:
    return json.dumps(graph, indent=2, ensure_ascii=False) + "\n"
