"""GLM-Image's nodes: each a schema and a few lines that hand over to glm_core."""

from comfy_api.latest import ComfyExtension, io

from .decoder import EmptyGLMImageLatent, GLMImageApplyPlan, GLMImageScheduler, ModelSamplingGLMImage
from .edit import GLMImageFitImage, GLMImageReference, GLMImageTokenize
from .loaders import (
    GLMImageDiffusionModelLoader,
    GLMImageFolderLoader,
    GLMImageGlyphEncoderLoader,
    GLMImagePlannerLoader,
    GLMImageVAELoader,
)
from .planner import GLMImagePlan, GLMImagePlanPreview


class GLMImageExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            GLMImageDiffusionModelLoader, GLMImagePlannerLoader, GLMImageGlyphEncoderLoader, GLMImageVAELoader, GLMImageFolderLoader,
            GLMImagePlan, GLMImagePlanPreview, GLMImageApplyPlan, EmptyGLMImageLatent, ModelSamplingGLMImage, GLMImageScheduler,
            GLMImageFitImage, GLMImageTokenize, GLMImageReference,
        ]
