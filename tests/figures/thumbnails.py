"""The workflows' thumbnails: what the embedded model draws when the shipped workflow runs in ComfyUI.

Edits and variations get a poster in place of ComfyUI's example, which is shown small in the lower right corner.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageOps

from glm_core.posters import Item, Poster, draw_poster, on_grid
from tests.host.graphs import inputs_of
from tests.support.hosts import PACK, find_hosts
from tests.support.servers import Server, load_workflow, serve

SIDE, INSET, FRAME = 256, 88, 3  # pixels
QUALITY = 90
REFERENCES = {
    "edit_image": ("green", Item("white", ("top", "centre"), text="OPEN"),
                   Item("yellow", ("centre", "left"), kind="circle")),
    "inpaint": ("pink", Item("purple", ("top", "centre"), text="FLOWER"),
                Item("green", ("bottom", "left"), kind="circle")),
    "image_variation": ("white", Item("purple", ("top", "centre"), text="COFFEE"),
                        Item("green", ("centre", "left"), kind="cross")),
}
MASK = 0, SIDE // 2, SIDE // 2, SIDE  # of inpaint: the lower left quarter, where its prompt changes the circle
NAMES = ("text_to_image", "text_to_image_custom_sampler", "best_of_eight", "redo_wrong_once", "replan_region",
         "outpaint", "upscale", "style_transfer", "compose_two_plans", "draft_choose_finish", *REFERENCES)


def poster_of(name: str) -> Image.Image:
    """The poster that is the reference image of a workflow."""
    background, *items = REFERENCES[name]
    return draw_poster(Poster(background, tuple(map(on_grid, items))))


def reference_picture(name: str) -> Image.Image:
    """The poster; where a workflow redraws a part only, that part is transparent, as Load Image wants it."""
    picture = poster_of(name)
    if name == "inpaint":
        picture = picture.convert("RGBA")
        alpha = Image.new("L", picture.size, 255)
        alpha.paste(0, MASK)
        picture.putalpha(alpha)
    return picture


def run_workflow(server: Server, name: str) -> Image.Image:
    """The picture, or the four pictures, that a shipped workflow saves."""
    graph = load_workflow(name)
    if name in REFERENCES:
        reference_picture(name).save(server.inputs / f"{name}.png")
        inputs_of(graph, "LoadImage")["image"] = f"{name}.png"
    inputs_of(graph, "SaveImage")["filename_prefix"] = name
    server.run(graph)
    return tiled([Image.open(path).convert("RGB") for path in sorted(server.output.glob(f"{name}_0*.png"))])


def tiled(pictures: list[Image.Image]) -> Image.Image:
    """One picture, made smaller if it is large; four in two rows."""
    if len(pictures) == 1:
        return ImageOps.pad(pictures[0], (SIDE, SIDE))
    sheet, half = Image.new("RGB", (SIDE, SIDE)), SIDE // 2
    for i, picture in enumerate(pictures):
        sheet.paste(picture.resize((half, half), Image.Resampling.LANCZOS), (i % 2 * half, i // 2 * half))
    return sheet


def with_inset(picture: Image.Image, name: str) -> Image.Image:
    """The picture with the reference image, framed in grey, in the lower right corner."""
    small = poster_of(name).resize((INSET, INSET), Image.Resampling.LANCZOS)
    corner = SIDE - INSET - FRAME
    framed = picture.copy()
    framed.paste("grey", (corner - FRAME, corner - FRAME, SIDE, SIDE))
    framed.paste(small, (corner, corner))
    return framed


def write(names: Sequence[str] = NAMES) -> None:
    """Draw thumbnails. Needs a ComfyUI that has rapidocr and onnxruntime, for redo_wrong_once."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, \
            serve(find_hosts()[0], Path(folder), Path(folder) / "models") as server:
        for name in names:
            picture = run_workflow(server, name)
            shown = with_inset(picture, name) if name in REFERENCES else picture
            shown.save(PACK / "workflows" / f"{name}.jpg", quality=QUALITY)
