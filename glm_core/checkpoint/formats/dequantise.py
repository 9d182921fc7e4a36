"""Layers in a format → matrices."""

from collections.abc import Container

from einops import EinopsError
from torch import Tensor

from ...errors import GLMImageError
from ...files import quote
from .format import WEIGHT, Format, Mark, Tensors
from .marks import COMPANIONS, TAG, read_tag, read_tags
from .table import BY_COMFY_NAME

MARK_VALUES = {"format", "full_precision_matrix_mult"}  # the second is about how a matrix is multiplied


def dequantise(tensors: dict[str, Tensor], name: str, source: str) -> Tensor:
    """The tensor ``name``, restored to float32 if it is quantised or in fp8.

    Raises GLMImageError if its mark is not one of FORMATS, or if a tensor of its layer is missing.
    """
    layer = name.removesuffix(WEIGHT)
    if name != layer + WEIGHT or layer + TAG not in tensors:
        return tensors[name] if tensors[name].element_size() > 1 else tensors[name].float()
    mark = flat(read_tag(tensors[layer + TAG], f"{source}: {layer}{TAG}"))
    stored = stored_format(mark, name, source)
    if tensors[name].dtype != stored.dtype:
        raise GLMImageError(f"{source}: {name} must be {stored.dtype} for {mark['format']} (got {tensors[name].dtype})")
    layer_tensors = tensors_of_layer(tensors, layer, stored.tensors, source)
    try:
        return stored.read(layer_tensors, mark)
    except (RuntimeError, ValueError, TypeError, EinopsError) as error:
        shapes = ", ".join(f"{key} {list(tensor.shape)}" for key, tensor in layer_tensors.items())
        raise GLMImageError(f"{source}: the tensors of {name} do not suit {described(mark)} (got {shapes})") from error


def flat(mark: Mark) -> Mark:
    """A mark whose values do not lie in "params", where ComfyUI looks for them too."""
    params = mark.get("params")
    return {**params, **{key: value for key, value in mark.items() if key != "params"}} if isinstance(params, dict) \
        else mark


def stored_format(mark: Mark, name: str, source: str) -> Format:
    """Raises GLMImageError if the mark names another format, or says more than the format's ``read`` knows."""
    stored = BY_COMFY_NAME.get(mark["format"])
    known = MARK_VALUES | (stored.mark_values if stored else set())
    if stored is None or any(value for key, value in mark.items() if key not in known):
        raise GLMImageError(f"{source}: the format of {name} must be {' or '.join(BY_COMFY_NAME)} to be read "
                            f"outside ComfyUI (got {described(mark)})")
    return stored


def described(mark: Mark) -> str:
    further = (f"{key} {quote(value)}" for key, value in mark.items() if key not in MARK_VALUES and value)
    return " with ".join([mark["format"], *further])


def dequantise_all(tensors: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """All tensors restored as by ``dequantise``, without marks and scales."""
    layers = read_tags(tensors, source)
    return {name: dequantise(tensors, name, source) for name in tensors if not belongs_to_format(name, layers)}


def belongs_to_format(name: str, layers: Container[str]) -> bool:
    """True for marks and scales of the quantised ``layers``, whose names end with a dot."""
    layer, dot, last = name.rpartition(".")
    return layer + dot in layers and last in COMPANIONS


def tensors_of_layer(tensors: dict[str, Tensor], layer: str, names: tuple[str, ...], source: str) -> Tensors:
    """A layer's tensors by their ``names`` in it. Raises GLMImageError if one is missing."""
    missing = [layer + name for name in names if layer + name not in tensors]
    if missing:
        raise GLMImageError(f"{source}: missing tensors: {', '.join(missing)}")
    return {name: tensors[layer + name] for name in names}
