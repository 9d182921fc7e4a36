"""The wire types that ComfyUI does not have, and the categories of nodes, by what they are for."""

from comfy_api.latest import io

Planner = io.Custom("GLM_IMAGE_PLANNER")
Plan = io.Custom("GLM_IMAGE_PLAN")
References = io.Custom("GLM_IMAGE_REFERENCES")  # a tuple of glm_core.host.references.Reference
LOADERS, PLANS, CONDITIONING, SAMPLING, TEXT = (
    f"GLM-Image/{role}" for role in ("loaders", "plan", "conditioning", "sampling", "text"))
