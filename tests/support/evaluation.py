"""What tests of the evaluation share."""

from importlib.util import find_spec

import pytest

from glm_core.evaluation.tasks import Task
from glm_core.posters.scene import Poster, caption

needs_ocr = pytest.mark.skipif(not all(map(find_spec, ("rapidocr", "onnxruntime"))),
                               reason="rapidocr and onnxruntime are not installed")


def task_of(poster: Poster) -> Task:
    """Its caption, its words and its shapes."""
    return Task(caption(poster), tuple(word.text for word in poster.words), tuple(poster.shapes))
