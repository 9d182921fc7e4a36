"""Plain torch layers with the signatures of ComfyUI's ``operations``, for use without a host.

Weights are always loaded or set afterwards, so no layer initialises its own.
"""

import torch
from torch import Tensor, nn

# torch computes float32 matrix products with MKL. On AMD processors oneDNN is faster; without AVX-512, only for few
# rows. See tests/benchmarks/RESULTS.md
HAS_ONEDNN = (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
              and hasattr(torch.ops.mkldnn, "_linear_pointwise"))
HAS_AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
MIN_MULTIPLICATIONS = 2**18  # for fewer, calling oneDNN costs more than it saves
MAX_ROWS_WITHOUT_AVX512 = 128


class Linear(nn.Linear):
    """Where that is faster, it calls oneDNN by the operator that torch.compile uses, which has no gradient."""

    def reset_parameters(self) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if HAS_ONEDNN and self.is_faster_with_onednn(input) and not torch.is_grad_enabled():
            return torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return super().forward(input)

    def is_faster_with_onednn(self, x: Tensor) -> bool:
        """For x [..., in_features]: only on a CPU and in float32."""
        on_cpu = x.device.type == self.weight.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        multiplications = x.numel() * self.out_features
        has_few_rows = x.numel() <= MAX_ROWS_WITHOUT_AVX512 * self.in_features
        return on_cpu and multiplications >= MIN_MULTIPLICATIONS and (HAS_AVX512 or has_few_rows)


class Conv2d(nn.Conv2d):
    def reset_parameters(self) -> None:
        pass


class Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        pass

    def forward(self, input: Tensor, out_dtype: torch.dtype | None = None) -> Tensor:
        """Ids [...] → rows of the table [..., embedding_dim], in ``out_dtype``; None keeps the table's type."""
        return super().forward(input).to(out_dtype or self.weight.dtype)


LayerNorm = nn.LayerNorm
RMSNorm = nn.RMSNorm
GroupNorm = nn.GroupNorm
