"""Places for the nodes of a graph, left to right, with as few crossing wires as a search finds."""

import math
import random
from dataclasses import dataclass

from tests.support.wires import FIRST, ROW, Box, Wire, covered, crossings

COLUMN_GAP, ROW_GAP = 100, 60  # pixels between nodes; the second has room for a title bar
STEP, MOST_STEPS = 60, 5  # by which a node may stand off the height of its wires
SWEEPS, TRIES = 4, 3000
CROSSING, BEHIND, WARMTH = 1e5, 2e4, 5e4  # costs, in pixels, and how much dearer a tried order may be at first


@dataclass(frozen=True)
class Graph:
    """sizes: width and height of each node. wires: between them. first, last: nodes that stand at the two ends."""

    sizes: dict[int, tuple[float, float]]
    wires: list[Wire]
    first: int
    last: int


@dataclass(frozen=True)
class Order:
    """columns: nodes from left to right, each from top to bottom. offsets: pixels that a node is moved down."""

    columns: list[list[int]]
    offsets: dict[int, int]


def arrange(graph: Graph, tries: int = TRIES) -> dict[int, Box]:
    """A box for each node, found by simulated annealing. The same graph always gets the same boxes."""
    rng = random.Random(0)
    order = Order(columns_of(graph), dict.fromkeys(graph.sizes, 0))
    cost, boxes = assess(graph, order)
    best_cost, best = cost, boxes
    for step in range(tries):
        tried = moved(rng, graph, order)
        tried_cost, tried_boxes = assess(graph, tried)
        if tried_cost <= cost or rng.random() < math.exp((cost - tried_cost) / (WARMTH * (1 - step / tries) ** 2)):
            order, cost = tried, tried_cost
        if tried_cost < best_cost:
            best_cost, best = tried_cost, tried_boxes
    top, left = min(box.y for box in best.values()), min(box.x for box in best.values())
    return {node: Box(box.x - left, box.y - top, box.width, box.height) for node, box in best.items()}


def columns_of(graph: Graph) -> list[list[int]]:
    """Each node as far right as its targets allow, so that a loader stands beside what it feeds."""
    distance: dict[int, int] = {}

    def from_end(node: int) -> int:
        if node not in distance:
            targets = [wire.target for wire in graph.wires if wire.origin == node]
            distance[node] = 1 + max(map(from_end, targets), default=-1)
        return distance[node]

    for node in graph.sizes:
        from_end(node)
    distance = {node: max(count, 1) for node, count in distance.items()} | {graph.last: 0, graph.first: 0}
    distance[graph.first] = max(distance.values()) + 1
    places = range(distance[graph.first], -1, -1)
    return [[node for node in graph.sizes if distance[node] == place] for place in places]


def moved(rng: random.Random, graph: Graph, order: Order) -> Order:
    """The order with one node moved: up or down, or to another place of a column where its wires still run right."""
    columns = [list(column) for column in order.columns]
    place = {node: i for i, column in enumerate(columns) for node in column}
    node = rng.choice([node for node in graph.sizes if node not in (graph.first, graph.last)])
    if rng.random() < 0.5:
        return Order(columns, order.offsets | {node: STEP * rng.randint(-MOST_STEPS, MOST_STEPS)})
    least = max((place[wire.origin] + 1 for wire in graph.wires if wire.target == node), default=1)
    most = min((place[wire.target] - 1 for wire in graph.wires if wire.origin == node), default=len(columns) - 2)
    columns[place[node]].remove(node)
    column = columns[rng.randint(least, most)]
    column.insert(rng.randint(0, len(column)), node)
    return Order(columns, order.offsets)


def assess(graph: Graph, order: Order) -> tuple[float, dict[int, Box]]:
    """The cost of an order, and its boxes. What counts most: crossings, then wires behind nodes, then their lengths."""
    boxes = place_rows(graph, order)
    climb = sum(abs(height_of(boxes[wire.origin], wire.origin_row) - height_of(boxes[wire.target], wire.target_row))
                for wire in graph.wires)
    height = max(box.y + box.height for box in boxes.values()) - min(box.y for box in boxes.values())
    ugly = CROSSING * len(crossings(graph.wires, boxes)) + BEHIND * covered(graph.wires, boxes)
    return ugly + climb + 2 * height, boxes


def height_of(box: Box, row: float) -> float:
    return box.y + FIRST + ROW * row


def place_rows(graph: Graph, order: Order) -> dict[int, Box]:
    """Each node near the height of those that it is wired to, without overlaps."""
    boxes, x = {}, 0.0
    for column in order.columns:
        y = 0.0
        for node in column:
            width, height = graph.sizes[node]
            boxes[node] = Box(x, y, width, height)
            y += height + ROW_GAP
        x += max((graph.sizes[node][0] for node in column), default=-COLUMN_GAP) + COLUMN_GAP
    for sweep in range(SWEEPS):
        for column in order.columns if sweep % 2 else reversed(order.columns):
            wanted = {node: wanted_height(graph, node, boxes) + order.offsets[node] for node in column}
            boxes |= settle(column, boxes, wanted)
    return boxes


def wanted_height(graph: Graph, node: int, boxes: dict[int, Box]) -> float:
    """Where a node's wires would be level on average; its own place if it has none."""
    wanted = [height_of(boxes[wire.origin], wire.origin_row) - FIRST - ROW * wire.target_row
              for wire in graph.wires if wire.target == node]
    wanted += [height_of(boxes[wire.target], wire.target_row) - FIRST - ROW * wire.origin_row
               for wire in graph.wires if wire.origin == node]
    return sum(wanted) / len(wanted) if wanted else boxes[node].y


def settle(column: list[int], boxes: dict[int, Box], wanted: dict[int, float]) -> dict[int, Box]:
    """The boxes of a column, in its order, as near to the wanted heights as their sizes allow."""
    places: dict[int, float] = {}
    end = float("-inf")
    for node in column:
        places[node] = max(wanted[node], end)
        end = places[node] + boxes[node].height + ROW_GAP
    shift = sum(wanted[node] - places[node] for node in column) / max(len(column), 1)
    return {node: Box(boxes[node].x, round((places[node] + shift) / 10) * 10, boxes[node].width, boxes[node].height)
            for node in column}
