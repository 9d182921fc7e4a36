"""The mark of tests that need the OCR packages."""

from importlib.util import find_spec

import pytest

needs_ocr = pytest.mark.skipif(not all(map(find_spec, ("rapidocr", "onnxruntime"))),
                               reason="rapidocr and onnxruntime are not installed")
