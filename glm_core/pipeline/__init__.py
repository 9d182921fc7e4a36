"""The one way from request to picture without a host, which every command, benchmark and trainer takes."""

from .parts import (
    Compute,
    LoadedPlanner,
    build,
    check_aspect,
    check_codes,
    default_side,
    latent_colours,
    load,
    load_planner,
)
from .requests import PlanRequest, ReferenceImage, RenderRequest, RenderSettings, check_noise, with_seeds
from .run import (
    Progress,
    Rendered,
    decode_pixels,
    encode_glyphs,
    encode_image,
    no_progress,
    plan,
    read_references,
    render,
)
from .sheet import contact_sheet

__all__ = ["Compute", "LoadedPlanner", "PlanRequest", "Progress", "ReferenceImage", "RenderRequest", "RenderSettings",
           "Rendered", "build", "check_aspect", "check_codes", "check_noise", "contact_sheet", "decode_pixels",
           "default_side", "encode_glyphs", "encode_image", "latent_colours", "load", "load_planner", "no_progress",
           "plan", "read_references", "render", "with_seeds"]
