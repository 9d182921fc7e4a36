import pytest

from glm_core.ocr import load_ocr, read_words


@pytest.fixture(scope="package")
def find_text():
    return load_ocr()


@pytest.fixture(scope="package")
def reader(find_text):
    return lambda pixels: read_words(find_text(pixels))
