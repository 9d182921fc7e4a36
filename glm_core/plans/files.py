"""Plan files of both kinds: safetensors, and pictures that show one plan and carry it."""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import GLMImageError
from ..files import check_file
from .card import draw_card
from .plan import Plan
from .png import is_png, read_text_chunk, write_png

KEYWORD = "glm_image_plan"  # of the chunk in a picture: the bytes of a plan's safetensors file in base64
MOST_TEXT = 8 * 2**20  # bytes; the largest plan, of 4096 x 4096 pixels, has 0.3 MB beside its prompt
# by first bytes with which no safetensors file of an acceptable header begins
OTHER_IMAGES = {b"\xff\xd8\xff\xe0": "JPEG", b"\xff\xd8\xff\xe1": "JPEG", b"RIFF": "WebP", b"GIF8": "GIF"}
ADVICE = "load the file that GLM-Image Save Plan wrote"


def save_plan_image(plan: Plan, path: str | os.PathLike, palette: Tensor | None = None,
                    texts: Mapping[str, str] | None = None) -> None:
    """Write a PNG that shows a plan of one item and carries it, all its parts included.

    palette: as in ``draw_plan``. texts: further ones in ASCII by keyword, as ComfyUI's pages keep their workflow.
    Raises GLMImageError if the plan has several items, or a prompt of megabytes.
    """
    if plan.batch != 1:
        raise GLMImageError(f"a plan must have one item to be saved as a picture (got {plan.batch})")
    text = base64.b64encode(plan.to_bytes()).decode()
    if len(KEYWORD) + 1 + len(text) > MOST_TEXT:
        raise GLMImageError(f"a plan must have at most {MOST_TEXT} bytes in base64 to be saved as a picture "
                            f"(got {len(text)}); save it as safetensors")
    write_png(draw_card(plan, palette), path, {**(texts or {}), KEYWORD: text})


def load_plan(path: str | os.PathLike) -> Plan:
    """Read a plan from a safetensors file or from a PNG of ``save_plan_image``, as the file's content is.

    Raises GLMImageError if the file is neither, or carries no plan.
    """
    source = f"plan file {path}"
    if not is_png(path, source):
        check_no_other_image(Path(path), source)
        return Plan.load(path)
    text = read_text_chunk(path, KEYWORD, MOST_TEXT, source)
    if text is None:
        raise GLMImageError(f"{source}: this PNG carries no plan; mask editors and other programs write images anew "
                            f"and drop it: {ADVICE}")
    try:
        return Plan.from_bytes(base64.b64decode(text, validate=True), source)
    except binascii.Error as error:
        raise GLMImageError(f"{source}: its plan must be text in base64 ({error})") from error


def check_no_other_image(path: Path, source: str) -> None:
    """Raise GLMImageError if the file is an image, but no PNG."""
    with check_file(path, source).open("rb") as file:
        start = file.read(max(map(len, OTHER_IMAGES)))
    for magic, name in OTHER_IMAGES.items():
        if start.startswith(magic):
            raise GLMImageError(f"{source}: must be a PNG that carries a plan, or a safetensors file (got a {name} "
                                f"image, which carries none); {ADVICE}")
