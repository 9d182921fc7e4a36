"""The workflows' thumbnails: what the embedded model draws when the shipped workflow runs in ComfyUI.

Posters that a workflow draws first and then changes are shown small in the lower right corner.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageOps

from tests.host.forms import SMALL_POSTER
from tests.host.variants import APPS
from tests.support.hosts import PACK, find_hosts
from tests.support.servers import Server, load_workflow, serve, workflow_names

SIDE, INSET, FRAME = 256, 88, 3  # pixels
QUALITY = 90


def run_workflow(server: Server, name: str) -> tuple[list[Image.Image], list[Image.Image]]:
    """The pictures that a shipped workflow saves, and the posters that it shows."""
    graph = load_workflow(name)
    outputs = server.run(graph)
    saved = [key for key, node in graph.items() if node["class_type"] == "SaveImage"]
    shown = [key for key, node in graph.items() if node["class_type"] == "PreviewImage" and of_poster(graph, node)]
    return read(server, outputs, saved), read(server, outputs, shown)


def of_poster(graph: dict, preview: dict) -> bool:
    """True if the node shows a poster that the workflow draws first."""
    return SMALL_POSTER.holds(graph[preview["inputs"]["images"][0]]["_meta"]["title"])


def read(server: Server, outputs: dict, keys: Sequence[str]) -> list[Image.Image]:
    """The images that nodes show or save."""
    folders = {"output": server.output, "temp": server.output.parent / "temp" / "temp"}
    return [Image.open(folders[image["type"]] / image["subfolder"] / image["filename"]).convert("RGB")
            for key in keys for image in outputs[key]["images"]]


def tiled(pictures: list[Image.Image]) -> Image.Image:
    """One picture, made smaller if it is large; four in two rows."""
    if len(pictures) == 1:
        return ImageOps.pad(pictures[0], (SIDE, SIDE))
    sheet, half = Image.new("RGB", (SIDE, SIDE)), SIDE // 2
    for i, picture in enumerate(pictures):
        sheet.paste(picture.resize((half, half), Image.Resampling.LANCZOS), (i % 2 * half, i // 2 * half))
    return sheet


def with_insets(picture: Image.Image, posters: list[Image.Image]) -> Image.Image:
    """The picture with small posters, framed in grey, one beside the other in the lower right corner."""
    framed = picture.copy()
    inset = min(INSET, SIDE // max(len(posters), 1) - 2 * FRAME)
    for i, poster in enumerate(reversed(posters)):
        small = poster.resize((inset, inset), Image.Resampling.LANCZOS)
        left, top = SIDE - (i + 1) * (inset + FRAME), SIDE - inset - FRAME
        framed.paste("grey", (left - FRAME, top - FRAME, left + inset + FRAME, SIDE))
        framed.paste(small, (left, top))
    return framed


def write(names: Sequence[str] = tuple(workflow_names())) -> None:
    """Draw thumbnails. Needs a ComfyUI that has rapidocr and onnxruntime, for redo_wrong_once."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, \
            serve(find_hosts()[0], Path(folder), Path(folder) / "models") as server:
        for name in names:
            pictures, posters = run_workflow(server, name)
            path = PACK / "workflows" / f"{name}.jpg"
            with_insets(tiled(pictures), posters).save(path, quality=QUALITY)
            if name in APPS:
                shutil.copy(path, path.with_name(f"{name}.app.jpg"))
