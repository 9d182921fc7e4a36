
import pytest
import torch

from glm_core.checkpoint.stream import NAMES, make_header, write_stream
from glm_core.errors import GLMImageError
from glm_core.files import DTYPES, read_tensors

TENSORS = {
    "text": torch.tensor(list(b"odd"), dtype=torch.uint8), "scale": torch.tensor(0.5),
    "half": torch.arange(3).bfloat16(), "b": torch.arange(6.0).view(2, 3).T, "a": torch.ones(2, 5),
    "eighth": torch.ones(3, 3).to(torch.float8_e4m3fn), "empty": torch.zeros(0, 4), "whole": torch.arange(3),
}
METADATA = {"config": '{"name": "Grüße"}'}


def write(path, tensors=TENSORS, layout=TENSORS):
    write_stream(path, layout, tensors.items(), METADATA)
    return path


def test_what_is_written_in_any_order_is_read(tmp_path):
    backwards = dict(reversed(TENSORS.items()))
    read, metadata = read_tensors(write(tmp_path / "a.safetensors", backwards), "test")
    assert metadata == METADATA and read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype and read[name].shape == tensor.shape
        assert read[name].float().equal(tensor.float()), name


def test_every_tensor_is_aligned_to_its_type():
    """Other readers map the file and look at it as numbers of the type."""
    header, places = make_header(TENSORS, METADATA)
    assert len(header) % 8 == 0
    assert all(places[name] % tensor.element_size() == 0 for name, tensor in TENSORS.items())


def test_types_have_the_names_that_are_read():
    assert set(NAMES.values()) <= DTYPES


def test_the_layout_may_be_without_numbers(tmp_path):
    layout = {name: tensor.to("meta") for name, tensor in TENSORS.items()}
    first, second = write(tmp_path / "a.safetensors"), write(tmp_path / "b.safetensors", layout=layout)
    assert first.read_bytes() == second.read_bytes()


def test_of_two_runs_that_write_one_file_the_later_one_does(tmp_path):
    """The earlier one would put the other's unfinished file in place."""
    path, part = tmp_path / "a.safetensors", tmp_path / "a.safetensors.part"

    def tensors():
        part.unlink()
        part.write_bytes(b"the other's beginning")
        yield from TENSORS.items()

    with pytest.raises(GLMImageError, match="two runs must not write it at the same time"):
        write_stream(path, TENSORS, tensors(), METADATA)
    assert not path.exists() and part.read_bytes() == b"the other's beginning"


class Cut(Exception):
    pass


@pytest.mark.parametrize("error", [Cut, KeyboardInterrupt])
def test_an_interrupted_file_is_not_there(tmp_path, error):
    def tensors():
        yield "a", TENSORS["a"]
        raise error

    old = write(tmp_path / "old.safetensors").read_bytes()
    for name in ("new", "old"):
        with pytest.raises(error):
            write_stream(tmp_path / f"{name}.safetensors", TENSORS, tensors(), METADATA)
    assert [path.name for path in tmp_path.iterdir()] == ["old.safetensors"]
    assert (tmp_path / "old.safetensors").read_bytes() == old


@pytest.mark.parametrize("change, message", [
    (lambda tensors: tensors.pop("a"), "must all be written (got none of a)"),
    (lambda tensors: tensors.update(a=torch.ones(2, 4)), r"a must be torch.float32 [2, 5] (got torch.float32 [2, 4])"),
    (lambda tensors: tensors.update(a=torch.ones(2, 5).half()), "(got torch.float16 [2, 5])")])
def test_tensors_must_be_those_of_the_layout(tmp_path, change, message):
    tensors = dict(TENSORS)
    change(tensors)
    with pytest.raises(ValueError) as caught:
        write(tmp_path / "a.safetensors", tensors)
    assert message in str(caught.value) and not list(tmp_path.iterdir())
