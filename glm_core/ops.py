"""Plain torch layers with the signatures of ComfyUI's ``operations``, for use without a host."""

from torch import nn


class Linear(nn.Linear):
    def reset_parameters(self):
        pass


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
