"""Where tests compute."""

import torch

from glm_core.pipeline import Compute

CPU = Compute(torch.device("cpu"), torch.float32)
