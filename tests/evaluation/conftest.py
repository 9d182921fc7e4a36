import pytest

from glm_core.evaluation import make_reader


@pytest.fixture(scope="package")
def reader():
    return make_reader()
