"""Samples of rewards: posters with their right plans, and pictures of them with faults made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from glm_core.posters import CHINESE_FONTS, Item, ItemBox, Poster, caption, draw_poster
from glm_core.rl.posters import poster_task
from glm_core.rl.rewards import Sample
from tests.support.fonts import is_installed

needs_chinese_fonts = pytest.mark.skipif(not all(map(is_installed, CHINESE_FONTS.values())),
                                         reason="Noto Sans CJK and Noto Serif CJK are not installed")

BOX = Item("red", ("top", "left"), "BOX", None, "small", ItemBox(0, 32, 32))
CROSS = Item("blue", ("bottom", "right"), "", "cross", "large", ItemBox(192, 192, 32))
SIGN = Poster("white", (BOX, CROSS))
TEA = replace(BOX, text="茶店", size="large", box=ItemBox(0, 16, 48))
CHINESE_SIGN = Poster("white", (TEA, CROSS), font="serif")


def sample(poster: Poster, picture: Image.Image | None = None) -> Sample:
    """The poster's own plan, with a picture of it."""
    task = poster_task(poster, "free", caption(poster))
    assert task.plan is not None
    return Sample(task, task.plan, picture)


def drawn(poster: Poster, picture_of: Poster | None = None) -> Sample:
    """A sample whose picture shows another poster, or its own."""
    return sample(poster, draw_poster(picture_of or poster))


def with_item(poster: Poster, index: int, **changes) -> Poster:
    items = list(poster.items)
    items[index] = replace(items[index], **changes)
    return replace(poster, items=tuple(items))


def with_grid(picture: Image.Image, levels: int, pitch: int = 16) -> Image.Image:
    """The picture with lines that are darker by so many levels of 255, one every ``pitch`` pixels."""
    pixels = np.array(picture).astype(int)
    is_line = (np.arange(pixels.shape[0])[:, None] % pitch == 0) | (np.arange(pixels.shape[1]) % pitch == 0)
    return Image.fromarray((pixels - levels * is_line[..., None]).clip(0, 255).astype(np.uint8))
