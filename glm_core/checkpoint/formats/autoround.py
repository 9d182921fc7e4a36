"""AutoRound: 4-bit integers around 8, with a scale for each 128 numbers of a row, packed as GPTQ packs them.

The layout is that of the package auto-round 0.16.1, auto_round_extension/torch/qlinear_torch_zp.py, which
``packing_format`` "auto_round:auto_gptq" names.
"""

import torch
from torch import Tensor

from .foreign import Config, Foreign, Packed, check
from .format import Tensors

BITS, GROUP = 4, 128
PER_WORD = 32 // BITS
ZERO = 8  # of symmetric numbers; one less is stored
ZEROS = 0x77777777  # eight of them in a word


def open_autoround(layer: Tensors, name: str, config: Config) -> Packed:
    """qweight: int32 [columns / 8, rows]; scales: [columns / 128, rows]; qzeros: int32 [columns / 128, rows / 8]."""
    words, scales, zeros = layer["qweight"], layer["scales"], layer["qzeros"]
    check(words.dtype == zeros.dtype == torch.int32 and words.ndim == scales.ndim == zeros.ndim == 2,
          "qweight and qzeros must be int32 matrices")
    columns, rows = words.shape[0] * PER_WORD, words.shape[1]
    check(tuple(scales.shape) == (columns // GROUP, rows) and columns % GROUP == 0 and scales.is_floating_point(),
          f"it must have a scale for each {GROUP} numbers")
    check(bool((zeros == ZEROS).all()), f"its zero points must all be {ZERO}")

    def restore() -> Tensor:
        shifts = torch.arange(0, 32, BITS, dtype=torch.int32)[:, None]
        numbers = (words[:, None] >> shifts & 15).flatten(0, 1) - ZERO
        return (scales.repeat_interleave(GROUP, 0) * numbers).T.bfloat16().contiguous()

    return Packed((rows, columns), layer, restore)


AUTOROUND = Foreign(
    "AutoRound", "auto-round", "qweight", frozenset({"qweight", "qzeros", "scales"}),
    fixed={"quant_method": ("auto-round",), "packing_format": ("auto_round:auto_gptq",), "bits": (BITS,),
           "group_size": (GROUP,), "sym": (True,), "data_type": ("int",), "act_bits": (None, 16)},
    free=frozenset({  # how the numbers were found, and where; bits of single layers show in their shapes
        "autoround_version", "block_name_to_quantize", "to_quant_block_names", "quant_block_list", "extra_config",
        "iters", "lr", "minmax_lr", "nsamples", "seqlen", "batch_size", "dataset", "amp", "enable_minmax_tuning",
        "enable_quanted_input", "enable_norm_bias_tuning", "gradient_accumulate_steps", "low_gpu_mem_usage",
        "scale_dtype", "supported_types", "backend", "act_group_size", "act_sym", "act_dynamic", "act_data_type",
        "static_attention_granularity", "static_kv_granularity"}),
    open=open_autoround)
