from PIL import Image

from glm_core.pipeline.sheet import CELL, contact_sheet


def test_captions_fit_below_their_pictures():
    pictures = [Image.new("RGB", size, "red") for size in ((64, 64), (1024, 512), (100, 400))]
    sheet = contact_sheet(pictures, [["short"], ["a rather long prompt " * 20, "read: X"], ["x" * 200]])
    assert sheet.width >= 2 * CELL and sheet.height >= 2 * CELL
