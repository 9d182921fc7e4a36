"""A flat workflow, as the page saves it, with its nodes put into the subgraphs of its form."""

import copy
import uuid
from dataclasses import dataclass

from tests.host.arrange import Graph, arrange
from tests.host.forms import Slot, Subgraph
from tests.support.page_files import INPUT, OUTPUT
from tests.support.wires import FIRST, ROW, Wire

END_WIDTH, END_MARGIN = 160, 40  # pixels of these
WIDGETS_BELOW = 2  # rows between the last slot and the first widget that has one
LIVE_PICTURE = "$$canvas-image-preview"  # the page's name for what a node shows while it runs
SAMPLERS = "KSampler", "SamplerCustomAdvanced"
Link = tuple[int, int, int, int, str]  # origin, its slot, target, its slot, type


@dataclass(frozen=True)
class Flat:
    """A workflow without subgraphs. nodes: by id. titles: of all nodes, by id."""

    nodes: dict[int, dict]
    links: list[Link]
    titles: dict[int, str]

    @classmethod
    def of(cls, graph: dict, titles: dict[int, str]) -> "Flat":
        return cls({node["id"]: node for node in graph["nodes"]}, [tuple(link[1:]) for link in graph["links"]], titles)

    def id_of(self, title: str) -> int:
        return next(key for key, found in self.titles.items() if found == title)


class Fold:
    """One subgraph of a flat workflow. node_id: of the node that it becomes on the canvas."""

    def __init__(self, flat: Flat, subgraph: Subgraph, node_id: int, workflow: str):
        self.flat, self.subgraph, self.node_id = flat, subgraph, node_id
        self.name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{workflow}/{subgraph.name}"))
        self.inner = {key for key, title in flat.titles.items() if subgraph.holds(title)}
        self.inputs, self.outputs = list(subgraph.inputs), list(subgraph.outputs)

    def input_of(self, link: Link) -> int:
        """Number of the input through which a link comes in."""
        return self.inputs.index((self.flat.titles[link[0]], link[1]))

    def output_of(self, link: Link) -> int:
        """Number of the output through which a link goes out: one for this target alone, or one for all."""
        slot, target = (self.flat.titles[link[0]], link[1]), self.flat.titles[link[2]]
        return self.outputs.index((*slot, target) if (*slot, target) in self.outputs else slot)

    def links(self) -> list[Link]:
        """Those inside, from the inputs and to the outputs too."""
        within = [link for link in self.flat.links if link[0] in self.inner and link[2] in self.inner]
        coming = [(INPUT, self.input_of(link), *link[2:]) for link in self.flat.links
                  if link[0] not in self.inner and link[2] in self.inner]
        going = [(*self.source(slot), OUTPUT, i, self.type_of(slot)) for i, slot in enumerate(self.outputs)]
        return within + coming + going

    def source(self, slot: Slot) -> tuple[int, int]:
        """Id of the node and number of the output."""
        return self.flat.id_of(slot[0]), slot[1]

    def type_of(self, slot: Slot) -> str:
        key, number = self.source(slot)
        return self.flat.nodes[key]["outputs"][number]["type"]

    def slots(self, slots: list[Slot], names: dict[Slot, str]) -> list[dict]:
        return [{"name": names[slot], "type": self.type_of(slot)} for slot in slots]

    def definition(self) -> dict:
        """What a workflow's file says about the subgraph."""
        links = self.links()
        nodes = connected([copy.deepcopy(self.flat.nodes[key]) for key in sorted(self.inner)], links)
        set_labels(nodes, self.flat, self.subgraph)
        ends = place_inside(nodes, links, len(self.inputs), len(self.outputs))
        return {
            "id": self.name, "version": 1, "revision": 0, "config": {}, "name": self.subgraph.name,
            "state": {"lastGroupId": 0, "lastNodeId": max(self.inner), "lastLinkId": len(links), "lastRerouteId": 0},
            "inputNode": {"id": INPUT, "bounding": ends[INPUT]}, "outputNode": {"id": OUTPUT, "bounding": ends[OUTPUT]},
            "inputs": self.described(self.slots(self.inputs, self.subgraph.inputs), links, 0, INPUT),
            "outputs": self.described(self.slots(self.outputs, self.subgraph.outputs), links, 2, OUTPUT),
            "widgets": [], "nodes": nodes, "groups": [], "extra": {},
            "links": [dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), (i + 1, *link)))
                      for i, link in enumerate(links)],
        }

    def described(self, slots: list[dict], links: list[Link], column: int, end: int) -> list[dict]:
        """The slots of an end, each with an id and its links. column: of the end's id in a link."""
        return [{"id": str(uuid.uuid5(uuid.UUID(self.name), f"{end}/{slot['name']}")), **slot,
                 "linkIds": [n + 1 for n, link in enumerate(links) if link[column:column + 2] == (end, i)]}
                for i, slot in enumerate(slots)]

    def node(self) -> dict:
        """The node on the canvas, without links."""
        widgets = [[str(self.flat.id_of(title)), name] for title, name, _ in self.subgraph.widgets]
        widgets += [[str(key), LIVE_PICTURE] for key in sorted(self.inner)
                    if self.flat.nodes[key]["type"] in SAMPLERS]
        return {"id": self.node_id, "type": self.name, "pos": [0, 0], "size": [0, 0], "flags": {}, "order": 0,
                "mode": 0, "inputs": self.slots(self.inputs, self.subgraph.inputs),
                "outputs": self.slots(self.outputs, self.subgraph.outputs),
                "properties": {"proxyWidgets": widgets}, "widgets_values": []}


def fold(flat: Flat, subgraphs: tuple[Subgraph, ...], workflow: str) -> dict:
    """The workflow with subgraphs, whose nodes on the canvas have no places yet. workflow: its name."""
    folds = [Fold(flat, subgraph, max(flat.nodes) + 1 + i, workflow) for i, subgraph in enumerate(subgraphs)]
    owner = {key: one for one in folds for key in one.inner}
    links = list(dict.fromkeys(outer_link(link, owner) for link in flat.links
                               if owner.get(link[0]) is not owner.get(link[2]) or link[0] not in owner))
    nodes = [copy.deepcopy(node) for key, node in flat.nodes.items() if key not in owner]
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, workflow)), "revision": 0,
        "last_node_id": folds[-1].node_id, "last_link_id": len(links),
        "nodes": connected(nodes + [one.node() for one in folds], links),
        "links": [[i + 1, *link] for i, link in enumerate(links)], "groups": [],
        "definitions": {"subgraphs": [one.definition() for one in folds]}, "config": {}, "extra": {}, "version": 0.4,
    }


def outer_link(link: Link, owner: dict[int, Fold]) -> Link:
    """A link between nodes on the canvas, where subgraphs stand for the nodes inside."""
    origin, target = owner.get(link[0]), owner.get(link[2])
    start = (origin.node_id, origin.output_of(link)) if origin else link[:2]
    end = (target.node_id, target.input_of(link)) if target else link[2:4]
    return (*start, *end, link[4])


def connected(nodes: list[dict], links: list[Link]) -> list[dict]:
    """The nodes with the numbers of these links, counted from 1, at their slots."""
    for node in nodes:
        for i, slot in enumerate(node["inputs"]):
            slot["link"] = next((n + 1 for n, link in enumerate(links) if link[2:4] == (node["id"], i)), None)
        for i, slot in enumerate(node["outputs"]):
            slot["links"] = [n + 1 for n, link in enumerate(links) if link[:2] == (node["id"], i)]
    return nodes


def set_labels(nodes: list[dict], flat: Flat, subgraph: Subgraph) -> None:
    """Give the widgets that the subgraph shows their labels there."""
    labels = {(flat.id_of(title), widget): label for title, widget, label in subgraph.widgets}
    for node in nodes:
        for slot in node["inputs"]:
            label = labels.get((node["id"], slot.get("widget", {}).get("name")))
            if label and label != slot["name"]:
                slot["label"] = label


def place_inside(nodes: list[dict], links: list[Link], inputs: int, outputs: int) -> dict[int, list[float]]:
    """Set the places of the nodes; returns the rectangles of the subgraph's two ends."""
    sizes = {node["id"]: tuple(node["size"]) for node in nodes}
    ends = {INPUT: (END_WIDTH, END_MARGIN + ROW * inputs), OUTPUT: (END_WIDTH, END_MARGIN + ROW * outputs)}
    boxes = arrange(Graph(sizes | ends, wires_of(links, nodes), INPUT, OUTPUT))
    for node in nodes:
        node["pos"] = [boxes[node["id"]].x, boxes[node["id"]].y]
    return {key: [boxes[key].x, boxes[key].y - FIRST, *ends[key]] for key in ends}


def wires_of(links: list[Link], nodes: list[dict]) -> list[Wire]:
    """The wires of links, as they run in the page."""
    rows = {node["id"]: input_rows(node) for node in nodes}
    return [Wire(origin, slot, target, rows[target][target_slot] if target in rows else target_slot)
            for origin, slot, target, target_slot, _ in links]


def input_rows(node: dict) -> list[int]:
    """The row of each input of a node: those that are widgets stand below all slots."""
    plain = [i for i, slot in enumerate(node["inputs"]) if "widget" not in slot]
    below = max(len(plain), len(node["outputs"])) + WIDGETS_BELOW
    return [plain.index(i) if i in plain else below + i - len(plain) for i in range(len(node["inputs"]))]
