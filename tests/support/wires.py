"""Where the wires of a graph run in ComfyUI's classic page, and which of them cross."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

ROW = 20  # pixels between two slots of a node
FIRST = 14  # of the first slot, below the title bar
INSET = 10  # of slots, from the sides of a node
TITLE_BAR = 30  # height, above the box of a node
POINTS = 16  # a curve is checked as this many straight pieces


@dataclass(frozen=True)
class Box:
    """A node: its upper left corner below the title bar, and its size, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Wire:
    """From an output to an input: ids of nodes, and the rows of the slots, counted from 0."""

    origin: int
    origin_row: float
    target: int
    target_row: float


def curve(wire: Wire, boxes: dict[int, Box]) -> np.ndarray:
    """The points of a wire as the page draws it, [POINTS + 1, 2]."""
    origin, target = boxes[wire.origin], boxes[wire.target]
    start = np.array([origin.x + origin.width - INSET, origin.y + FIRST + ROW * wire.origin_row])
    end = np.array([target.x + INSET, target.y + FIRST + ROW * wire.target_row])
    reach = np.array([np.hypot(*(end - start)) / 4, 0])
    t = np.linspace(0, 1, POINTS + 1)[:, None]
    return ((1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * (start + reach) + 3 * (1 - t) * t ** 2 * (end - reach)
            + t ** 3 * end)


def side(first: np.ndarray, second: np.ndarray, point: np.ndarray) -> np.ndarray:
    """On which side of the line through two points a third one is: the sign."""
    a, b = second - first, point - first
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def cross(one: np.ndarray, other: np.ndarray) -> bool:
    """True if two curves of straight pieces meet. one, other: [n, 2]."""
    a, b, c, d = one[:-1, None], one[1:, None], other[None, :-1], other[None, 1:]
    return bool(((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).any())


def crossings(wires: list[Wire], boxes: dict[int, Box]) -> list[tuple[Wire, Wire]]:
    """The pairs of wires that cross. Two wires from the same slot do not count."""
    curves = [curve(wire, boxes) for wire in wires]
    spans = [(points.min(0), points.max(0)) for points in curves]
    return [(wires[i], wires[j]) for i, j in combinations(range(len(wires)), 2)
            if (wires[i].origin, wires[i].origin_row) != (wires[j].origin, wires[j].origin_row)
            and (spans[i][0] <= spans[j][1]).all() and (spans[j][0] <= spans[i][1]).all()
            and cross(curves[i], curves[j])]


def covered(wires: list[Wire], boxes: dict[int, Box]) -> int:
    """How often a wire runs behind a node that it does not end at."""
    if not wires:
        return 0
    points = np.stack([curve(wire, boxes) for wire in wires])[:, None]  # [wires, 1, points, 2]
    corner = np.array([(box.x, box.y - TITLE_BAR) for box in boxes.values()])[None, :, None]
    end = np.array([(box.x + box.width, box.y + box.height) for box in boxes.values()])[None, :, None]
    behind = ((points > corner) & (points < end)).all(-1).any(-1)
    own = np.array([[key in (wire.origin, wire.target) for key in boxes] for wire in wires])
    return int((behind & ~own).sum())
