"""The pack's icon and banner, drawn by the embedded model: a plan as tiles, and the poster that comes of it.

The registry wants a square icon of at most 400 pixels, and a banner of 21:9.
"""

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from glm_core.checkpoint import EMBEDDED
from glm_core.fonts import caption_font
from glm_core.pipeline import Compute, PlanRequest, RenderRequest, RenderSettings, plan, render
from glm_core.plans import Plan, colours
from tests.support.hosts import PACK

PROMPT = ('A blue poster. At the top, "GLM" in large white letters. At the left, a yellow circle. '
          'At the bottom, a white triangle. At the bottom right, a red square.')
SIDE, SEED, STEPS = 256, 0, 20  # of the poster
COMPUTE = Compute(torch.device("cpu"), torch.float32)
ICON, BANNER = 400, (1260, 540)
TEXTS = ("GLM-Image Native", 80, (70, 116), "#f5f6fa"), ("First the plan, then the picture. In ComfyUI.", 33,
                                                        (74, 222), "#97a0b8")
MARGIN, STEP_SIDE, ARROW = 70, 132, 54  # pixels: the icon's distance from three edges, and the row of steps
STEPS_PLACE = 74, 308
DARK = "#141826"
TILE_GAP, TILE_RADIUS = 0.06, 0.15  # of a cell
EMPTY_SHADE = 0.8  # of the poster's colour, for tiles without an item
FILE_COLOURS = 128


def draw_model() -> tuple[Plan, Image.Image]:
    """The plan, and the poster."""
    request = PlanRequest(PROMPT, SIDE, SIDE, seed=SEED)
    [made] = plan(EMBEDDED, [request], COMPUTE)
    [rendered] = render(EMBEDDED, [RenderRequest.of(request, made, RenderSettings(steps=STEPS, seed=SEED))], COMPUTE)
    return made, Image.fromarray((rendered.pictures[0] * 255).byte().numpy())


def tile_colours(ids: Tensor, ground: tuple[int, ...]) -> Tensor:
    """Colours of tokens in 0...255, [h, w, 3]; the most frequent one, of empty cells, gets a shade of ``ground``."""
    empty = (EMPTY_SHADE * torch.tensor(ground)).int()
    return torch.where((ids == ids.flatten().mode().values)[..., None], empty, (colours(ids) * 255).int())


def draw_tiles(ids: Tensor, ground: tuple[int, ...], side: int) -> Image.Image:
    """A square grid [n, n] as rounded tiles on a dark square."""
    cell = 2 * side / len(ids)  # drawn twice as large, for smooth corners
    picture = Image.new("RGB", (2 * side, 2 * side), DARK)
    pen = ImageDraw.Draw(picture)
    for y, row in enumerate(tile_colours(ids, ground).tolist()):
        for x, colour in enumerate(row):
            box = [cell * (x + TILE_GAP), cell * (y + TILE_GAP), cell * (x + 1 - TILE_GAP), cell * (y + 1 - TILE_GAP)]
            pen.rounded_rectangle(box, TILE_RADIUS * cell, tuple(colour))
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def join_at_staircase(poster: Image.Image, tiles: Image.Image, cells: int) -> Image.Image:
    """The poster above the diagonal from the lower left to the upper right, the tiles below it."""
    joined, cell = poster.copy(), tiles.width // cells
    for y in range(cells):
        left = (cells - y) * cell
        lower = left, y * cell, tiles.width, (y + 1) * cell
        if left < tiles.width:
            joined.paste(tiles.crop(lower), lower)
    return joined


def draw_banner(icon: Image.Image, steps: list[Image.Image]) -> Image.Image:
    """Title, the steps from the coarse grid to the poster with arrows between them, and the icon."""
    banner = Image.new("RGB", BANNER, DARK)
    pen = ImageDraw.Draw(banner)
    for text, size, place, colour in TEXTS:
        pen.text(place, text, colour, caption_font([text], size))
    x, y = STEPS_PLACE
    for i, picture in enumerate(steps):
        left = x + i * (STEP_SIDE + ARROW)
        banner.paste(picture, (left, y))
        if i:
            draw_arrow(pen, left - ARROW // 2, y + STEP_SIDE // 2)
    banner.paste(icon, (BANNER[0] - MARGIN - ICON, MARGIN))
    return banner


def draw_arrow(pen: ImageDraw.ImageDraw, x: int, y: int) -> None:
    """To the right, with its middle at this pixel."""
    colour = TEXTS[1][3]
    pen.line([x - 12, y, x + 8, y], colour, 3)
    pen.polygon([(x + 12, y), (x + 3, y - 7), (x + 3, y + 7)], colour)


def write() -> None:
    """Draw docs/icon.png and docs/banner.png."""
    made, poster = draw_model()
    assert made.coarse is not None
    ground = poster.getpixel((SIDE // 2, SIDE // 2))
    large = poster.resize((ICON, ICON), Image.Resampling.LANCZOS)
    icon = join_at_staircase(large, draw_tiles(made.ids[0], ground, ICON), made.ids.shape[-1])
    steps = [draw_tiles(made.coarse[0], ground, STEP_SIDE), draw_tiles(made.ids[0], ground, STEP_SIDE),
             poster.resize((STEP_SIDE, STEP_SIDE), Image.Resampling.LANCZOS)]
    for name, picture in (("icon", icon), ("banner", draw_banner(icon, steps))):
        few = picture.quantize(FILE_COLOURS, dither=Image.Dither.NONE)
        few.save(PACK / "docs" / f"{name}.png", optimize=True)
