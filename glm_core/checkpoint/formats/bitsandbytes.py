"""bitsandbytes: 4-bit NormalFloat with a scale for each block of 64 numbers, and 8-bit integers with one for each row.

The layouts are those of the package bitsandbytes 0.50.2: functional.py (QuantState.from_dict, dequantize_4bit,
int8_vectorwise_dequant) and backends/default/ops.py.
"""

import torch
from torch import Tensor

from ...files import parse_json
from ..text import tensor_to_text
from .foreign import Config, Foreign, Packed, check
from .format import WEIGHT, Tensors

STATE = "weight.quant_state.bitsandbytes__nf4"  # JSON
ABSMAX, CODE = "weight.absmax", "weight.quant_map"
NESTED_ABSMAX, NESTED_CODE = "weight.nested_absmax", "weight.nested_quant_map"
SCB = "SCB"
STATE_FIELDS = {"quant_type", "blocksize", "dtype", "shape", "nested_blocksize", "nested_dtype", "nested_offset"}
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
ROW_BY_ROW = 0  # a value of weight_format
PER_127TH = 7.874015718698502e-3


def open_nf4(layer: Tensors, name: str, config: Config) -> Packed:
    state = parse_json(tensor_to_text(layer[STATE], STATE), STATE)
    check(state.keys() <= STATE_FIELDS and state["quant_type"] == "nf4", f"its state must be that of nf4, not {state}")
    rows, columns = state["shape"]
    packed, block = layer[WEIGHT], state["blocksize"]
    check(packed.dtype == torch.uint8 and packed.numel() * 2 == rows * columns, "it must have 4 bits for each number")
    check(layer[ABSMAX].shape == (-(-rows * columns // block),), f"it must have a scale for each {block} numbers")
    check((NESTED_ABSMAX in layer) == (layer[ABSMAX].dtype == torch.uint8),
          "8-bit scales, and no others, must come with nested_absmax")
    for key, numbers in ((CODE, 16), (NESTED_CODE, 256)):
        check(key not in layer or layer[key].shape == (numbers,) and layer[key].is_floating_point(),
              f"{key} must have {numbers} floating-point numbers")
    check(layer.get(NESTED_ABSMAX, layer[ABSMAX]).is_floating_point(), "scales must be floating-point")
    if NESTED_ABSMAX in layer:
        nested = state["nested_blocksize"]
        check(layer[NESTED_ABSMAX].shape == (-(-layer[ABSMAX].numel() // nested),),
              f"it must have a scale for each {nested} scales")

    def restore() -> Tensor:
        bits = torch.stack((packed.flatten() >> 4, packed.flatten() & 15), 1).flatten()
        scales = block_scales(layer, state).repeat_interleave(block)[:len(bits)]
        return (layer[CODE][bits.int()] * scales).to(DTYPES[state["dtype"]]).bfloat16().view(rows, columns)

    return Packed((rows, columns), layer, restore)


def block_scales(layer: Tensors, state: dict) -> Tensor:
    """float32 [blocks]. They may be stored in 8 bits, as differences from their mean and with scales of their own."""
    stored = layer[ABSMAX]
    if NESTED_ABSMAX not in layer:
        return stored.float()
    scales = layer[NESTED_ABSMAX].repeat_interleave(state["nested_blocksize"])[:len(stored)]
    return layer[NESTED_CODE][stored.int()] * scales + state["nested_offset"]


def open_int8(layer: Tensors, name: str, config: Config) -> Packed:
    numbers, scales = layer[WEIGHT], layer[SCB]
    check(numbers.dtype == torch.int8 and numbers.ndim == 2 and scales.shape == numbers.shape[:1],
          "it must have a matrix in int8 and a scale for each row")
    check(scales.is_floating_point(), "its scales must be floating-point")
    check("weight_format" not in layer or layer["weight_format"].item() == ROW_BY_ROW,
          f"its weight_format must be {ROW_BY_ROW}, row by row")
    rows, columns = numbers.shape
    return Packed((rows, columns), layer, lambda: (numbers * scales[:, None] * PER_127TH).bfloat16())


METHOD = "bitsandbytes"
FIXED = {"quant_method": (METHOD,), "bnb_4bit_quant_storage": ("uint8",), "llm_int8_has_fp16_weight": (False,)}
FREE = frozenset({
    "load_in_4bit", "load_in_8bit", "_load_in_4bit", "_load_in_8bit", "bnb_4bit_compute_dtype", "llm_int8_threshold",
    "bnb_4bit_use_double_quant", "llm_int8_skip_modules", "llm_int8_enable_fp32_cpu_offload", "bnb_4bit_quant_type"})
NF4 = Foreign(METHOD, METHOD, STATE, frozenset({WEIGHT, STATE, ABSMAX, CODE, NESTED_ABSMAX, NESTED_CODE}), FIXED, FREE,
              open_nf4)
BNB_INT8 = Foreign(METHOD, METHOD, SCB, frozenset({WEIGHT, SCB, "weight_format"}), FIXED, FREE, open_int8)
