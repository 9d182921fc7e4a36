"""Plain torch layers with the signatures of ComfyUI's ``operations``, for use without a host."""

import torch
from torch import Tensor, nn

# torch gives float32 products to MKL; on AMD processors oneDNN is faster, without AVX-512 for few rows only (tests/benchmarks/RESULTS.md)
ONEDNN = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
WORTH_A_CALL = 2**18  # multiplications; below it oneDNN's 20 microseconds a call weigh more than what it saves
FEW_ROWS = 128


class Linear(nn.Linear):
    """On a CPU in float32 by way of oneDNN, with the operator that torch.compile uses there; it has no gradient."""

    def reset_parameters(self):
        pass

    def forward(self, x: Tensor) -> Tensor:
        on_cpu = x.device.type == self.weight.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        worth = x.numel() * self.out_features >= WORTH_A_CALL and (AVX512 or x.numel() <= FEW_ROWS * self.in_features)
        if ONEDNN and on_cpu and worth and not torch.is_grad_enabled():
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return super().forward(x)


class Conv2d(nn.Conv2d):
    def reset_parameters(self):
        pass


class Embedding(nn.Embedding):
    def reset_parameters(self):
        pass

    def forward(self, ids, out_dtype=None):
        return super().forward(ids).to(out_dtype or self.weight.dtype)


LayerNorm = nn.LayerNorm
RMSNorm = nn.RMSNorm
GroupNorm = nn.GroupNorm
