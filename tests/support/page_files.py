"""Workflows as the page saves them: nodes on a canvas, some of which are subgraphs."""

from collections.abc import Iterator

INPUT, OUTPUT = -10, -20  # ids of the two ends of a subgraph
NOTE = "MarkdownNote"  # a node of the page alone
BYPASSED = 4


def subgraphs_of(graph: dict) -> list[dict]:
    """The definitions of a workflow's subgraphs."""
    return graph["definitions"]["subgraphs"]


def inner_links(subgraph: dict) -> list[tuple]:
    """Those of a subgraph, as (origin, its slot, target, its slot, type)."""
    names = "origin_id", "origin_slot", "target_id", "target_slot", "type"
    return [tuple(link[name] for name in names) for link in subgraph["links"]]


def outer_links(graph: dict) -> list[tuple]:
    """Those on the canvas, in the same form."""
    return [tuple(link[1:]) for link in graph["links"]]


def on_canvas(graph: dict) -> list[dict]:
    """The nodes on the canvas that a run includes."""
    return [node for node in graph["nodes"] if node["type"] != NOTE and node["mode"] != BYPASSED]


def running_nodes(graph: dict) -> Iterator[dict]:
    """All nodes that a run includes, those inside subgraphs instead of the subgraphs."""
    inside = {subgraph["id"]: subgraph["nodes"] for subgraph in subgraphs_of(graph)}
    for node in on_canvas(graph):
        yield from inside.get(node["type"], [node])


def sources(graph: dict) -> dict[tuple[int, int], list]:
    """Where the inputs of the running nodes come from: (node, slot) → [id of the node as text, slot].

    Pages since 1.40 wire the widgets that a subgraph shows to its inputs; these are left out.
    """
    definitions = {subgraph["id"]: subgraph for subgraph in subgraphs_of(graph)}
    folded = {node["id"]: definitions[node["type"]] for node in graph["nodes"] if node["type"] in definitions}
    outer = {(target, slot): (origin, origin_slot) for origin, origin_slot, target, slot, _ in outer_links(graph)}
    results = {(target, slot): origin for (target, slot), origin in outer.items() if target not in folded}
    for node, subgraph in folded.items():
        for origin, origin_slot, target, slot, _ in inner_links(subgraph):
            if target != OUTPUT and (origin != INPUT or (node, origin_slot) in outer):
                results[target, slot] = outer[node, origin_slot] if origin == INPUT else (origin, origin_slot)

    def inside(origin: int, slot: int) -> list:
        if origin not in folded:
            return [str(origin), slot]
        return next([str(link[0]), link[1]] for link in inner_links(folded[origin]) if link[2:4] == (OUTPUT, slot))

    return {place: inside(*origin) for place, origin in results.items()}
