"""The device and dtype that tests compute with."""

import torch

from glm_core.pipeline import Compute

CPU = Compute(torch.device("cpu"), torch.float32)
