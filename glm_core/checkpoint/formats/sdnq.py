"""SDNQ: integers of 4 to 8 bits with scales for groups of a row, and for some layers a low-rank part beside them.

The layout is that of the package sdnq 0.2.8: packed_int/unpack.py, dequantizer.py, and for the names in a config
utils.py (check_param_name_in). sdnq 0.1.4 stores the same. Sums are done in its order and types, so that the results
have the same bits.
"""

from fnmatch import fnmatchcase

import torch
from torch import Tensor

from .foreign import Config, Foreign, Packed, check
from .format import WEIGHT, Tensors

DTYPES = {f"{sign}int{bits}": (bits, sign == "") for bits in range(4, 9) for sign in ("", "u")}  # → bits, signed
PACKED_BYTES = {4: 1, 5: 5, 6: 3, 7: 7}  # bits of a number → bytes that are packed together
PACKED_SHAPES = {bits: (count,) if count > 1 else () for bits, count in PACKED_BYTES.items()}  # but for the first side


def open_sdnq(layer: Tensors, name: str, config: Config) -> Packed:
    dtype = dtype_of(name, config)
    check(dtype in DTYPES, f"its numbers must be one of {', '.join(DTYPES)}, not {dtype}")
    bits, signed = DTYPES[dtype]
    weight, scale, zero = layer[WEIGHT], layer["scale"], layer.get("zero_point")
    check((zero is None) == signed, f"{dtype} must come {'without' if signed else 'with'} zero_point")
    check(weight.dtype == (torch.int8 if dtype == "int8" else torch.uint8), f"{dtype} must be stored in bytes")
    check(scale.ndim == 2 or scale.ndim == 3 and scale.shape[2] == 1, "scales must be for a matrix")
    check(scale.is_floating_point() and (zero is None or (zero.dtype, zero.shape) == (scale.dtype, scale.shape)),
          "scale and zero_point must be numbers of one type, as many of the one as of the other")
    transposed = bits == 8 and weight.ndim == 2 and scale.shape == (1, weight.shape[1])  # for use_quantized_matmul
    rows = scale.shape[1] if transposed else scale.shape[0]
    check(transposed or weight.shape[:1] == (rows,) if bits == 8 else weight.shape[1:] == PACKED_SHAPES[bits],
          f"the weight must have the shape of packed {dtype}")
    columns = weight.numel() * 8 // bits // rows
    check(rows * columns * bits == weight.numel() * 8 and columns % scale[0].numel() == 0 or transposed,
          "each row must have a whole number of groups")
    low_rank = low_rank_part(layer, rows, columns)

    def restore() -> Tensor:
        numbers = weight if transposed else unpacked(weight, bits).reshape(*scale.shape[:-1], -1)
        numbers = numbers.to(scale.dtype) - (1 << bits - 1 if signed and bits < 8 else 0)
        matrix = numbers * scale if zero is None else torch.addcmul(zero, numbers, scale)
        matrix = (matrix.T if transposed else matrix).reshape(rows, columns)
        if low_rank:
            matrix = matrix.to(low_rank[0].dtype).addmm_(*low_rank)
        return matrix.bfloat16()

    return Packed((rows, columns), layer, restore)


def dtype_of(name: str, config: Config) -> str:
    """What the config says of a matrix: that of the first entry in modules_dtype_dict that names it, or the general."""
    for dtype, patterns in (config.get("modules_dtype_dict") or {}).items():
        if any(means(pattern, full) for pattern in patterns for full in (name, f"model.{name}")):
            return dtype
    return config.get("weights_dtype", "int8")


def means(pattern: str, name: str) -> bool:
    """True if a config's pattern means the matrix: by its beginning, all of it, a step of it, or with wildcards."""
    if pattern.startswith("."):
        return name.startswith(pattern[1:])
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return pattern in (name, *name.split(".")) or "*" in pattern and fnmatchcase(name, f"{literal}*")


def low_rank_part(layer: Tensors, rows: int, columns: int) -> tuple[Tensor, Tensor] | None:
    """[rows, rank] and [rank, columns], which are stored transposed for use_quantized_matmul; None if there is none."""
    if "svd_up" not in layer and "svd_down" not in layer:
        return None
    up, down = layer["svd_up"], layer["svd_down"]
    if (up.shape[0], down.shape[-1]) != (rows, columns):
        up, down = up.T, down.T
    check((up.shape[0], down.shape[-1], up.shape[-1]) == (rows, columns, down.shape[0]),
          "svd_up and svd_down must fit it")
    return up, down


def unpacked(weight: Tensor, bits: int) -> Tensor:
    """Bytes as they are stored → the numbers in them, in their order."""
    if bits == 8:
        return weight
    packed = weight.view(-1, PACKED_BYTES[bits])
    high = packed >> bits
    if bits == 4:
        return torch.cat((packed & 15, high), 1)
    if bits == 5:  # the eighth number's two highest bits are at the top of bytes 3 and 4
        sixth, seventh = (high[:, i] | packed[:, i + 3] >> 2 & 24 for i in (0, 1))
        eighth = high[:, 2] | packed[:, 3] >> 3 & 16 | packed[:, 4] >> 4 & 8
        last = torch.stack((sixth, seventh, eighth), 1)
    else:  # the last number's bits are at the top of all bytes, the highest first
        places = torch.arange(packed.shape[1] - 1, -1, -1, dtype=torch.uint8) * (8 - bits)
        last = (high << places).sum(1, keepdim=True, dtype=torch.uint8)
    return torch.cat((packed & (1 << bits) - 1, last), 1)


SDNQ = Foreign(
    "SDNQ", "sdnq", "scale", frozenset({WEIGHT, "scale", "zero_point", "svd_up", "svd_down"}),
    fixed={"quant_method": ("sdnq",), "modules_quant_config": ({}, None), "use_hadamard": (False,),
           **dict.fromkeys(("scale_dtype", "zero_point_dtype"), (None, "none")),
           **dict.fromkeys(("use_codebook", "use_codebook_scale", "quant_conv", "is_training"), (False,))},
    free=frozenset({
        "weights_dtype", "modules_dtype_dict", "modules_to_not_convert", "modules_to_not_use_matmul", "group_size",
        "hadamard_group_size", "svd_rank", "svd_steps", "codebook_steps", "dynamic_loss_threshold", "use_svd",
        "use_grad_ckpt", "quant_embedding", "use_quantized_matmul", "use_quantized_matmul_conv",
        "quantized_matmul_dtype", "use_static_quantization", "use_dynamic_quantization", "use_stochastic_rounding",
        "dequantize_fp32", "non_blocking", "add_skip_keys", "minimum_allowed_numel", "minimum_allowed_channel_size",
        "quantization_device", "return_device", "sdnq_version", "is_integer", "is_unsigned"}),
    open=open_sdnq)
