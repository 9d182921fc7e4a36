"""The one way from request to picture without a host, which every command, benchmark and trainer takes."""

from .jobs import DrawJobs, Job, Share, draw_jobs, picture_path, unfinished_jobs
from .parts import (
    Compute,
    LoadedPlanner,
    Loaders,
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

__all__ = ["Compute", "DrawJobs", "Job", "LoadedPlanner", "Loaders", "PlanRequest", "Progress", "ReferenceImage",
           "RenderRequest", "RenderSettings", "Rendered", "Share", "build", "check_aspect", "check_codes",
           "check_noise", "contact_sheet", "decode_pixels", "default_side", "draw_jobs", "encode_glyphs",
           "encode_image", "latent_colours", "load", "load_planner", "no_progress", "picture_path", "plan",
           "read_references", "render", "unfinished_jobs", "with_seeds"]
