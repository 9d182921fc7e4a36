"""GLM-Image in transformers and diffusers, to compare with."""

from pathlib import Path
from typing import Any

import torch

from tests.support.tiny import RELEASED

NOT_CODES = list(range(RELEASED.codes, RELEASED.visual))  # ids that upstream may draw inside a grid, and then fails


def load_pipeline(folder: Path) -> Any:
    """diffusers' GlmImagePipeline of a released folder, in float32 on the CPU."""
    from diffusers.pipelines.glm_image.pipeline_glm_image import GlmImagePipeline  # takes seconds to import

    pipe = GlmImagePipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe
