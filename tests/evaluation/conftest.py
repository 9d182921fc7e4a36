import pytest

from glm_core.ocr import make_reader


@pytest.fixture(scope="package")
def reader():
    return make_reader()
