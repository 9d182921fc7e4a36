"""The wire types that ComfyUI does not have, and the category of all nodes."""

from comfy_api.latest import io

Planner = io.Custom("GLM_IMAGE_PLANNER")
Plan = io.Custom("GLM_IMAGE_PLAN")
References = io.Custom("GLM_IMAGE_REFERENCES")  # a tuple of glm_core.host.references.Reference
CATEGORY = "GLM-Image"
