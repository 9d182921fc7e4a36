"""GLM-Image Native for ComfyUI."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .nodes import GLMImageExtension  # here, because only ComfyUI has what the nodes import

    return GLMImageExtension()
