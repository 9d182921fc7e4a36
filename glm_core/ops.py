"""Plain torch layers with the signatures of ComfyUI's ``operations``, for use without a host."""

import torch
from torch import Tensor, nn

# torch gives float32 products to MKL. On AMD processors oneDNN is faster, without AVX-512 only for few rows: see
# tests/benchmarks/RESULTS.md
ONEDNN = (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
          and hasattr(torch.ops.mkldnn, "_linear_pointwise"))
AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
WORTH_A_CALL = 2**18  # multiplications; for fewer, calling oneDNN costs more than it saves
FEW_ROWS = 128


class Linear(nn.Linear):
    """Computes by oneDNN on a CPU in float32, with the operator that torch.compile uses there; it has no gradient."""

    def reset_parameters(self):
        pass

    def forward(self, input: Tensor) -> Tensor:
        if ONEDNN and self.is_faster_by_onednn(input) and not torch.is_grad_enabled():
            return torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return super().forward(input)

    def is_faster_by_onednn(self, x: Tensor) -> bool:
        on_cpu = x.device.type == self.weight.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        multiplications = x.numel() * self.out_features
        has_few_rows = x.numel() <= FEW_ROWS * self.in_features
        return on_cpu and multiplications >= WORTH_A_CALL and (AVX512 or has_few_rows)


class Conv2d(nn.Conv2d):
    def reset_parameters(self):
        pass


class Embedding(nn.Embedding):
    def reset_parameters(self):
        pass

    def forward(self, input: Tensor, out_dtype: torch.dtype | None = None) -> Tensor:
        """Rows of the table for ids ``input``, in ``out_dtype``; None keeps the table's type."""
        return super().forward(input).to(out_dtype or self.weight.dtype)


LayerNorm = nn.LayerNorm
RMSNorm = nn.RMSNorm
GroupNorm = nn.GroupNorm
