"""Conditionings: the encoded prompt with the plan and the reference images that go with it."""

import logging
from collections.abc import Sequence

import node_helpers
import torch

from ..plans import Drawn, Plan
from .references import PLAN_KEY, REFERENCES_KEY, Reference


def encode_prompt(clip, prompt: str) -> list:
    """What CLIP Text Encode gives for this text."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(prompt))


def warn_of_missing_references(plan: Plan) -> None:
    """For a plan that comes without the references that it was made with; only such plans are drawn without a grid."""
    if plan.coarse is None and any(type(origin) is Drawn for origin in plan.origins):  # a Draft has none either
        logging.warning("this plan was made with reference images, and the decoder gets none; connect the same "
                        "references to GLM-Image Conditioning")


def zero_conditioning(like: list) -> list:
    """A single zero vector of the width of another conditioning."""
    return [[torch.zeros_like(like[0][0][:, :1]), {}]]


def apply_plan(positive: list, negative: list, plan: Plan, references: Sequence[Reference] | None = None) -> tuple:
    """Both conditionings, with the plan and all references in the positive one, and in the negative one no plan and
    only the references marked for it. Without references, those that a conditioning has already stay.

    Raises GLMImageError if cells of the plan have no token.
    """
    plan.check_complete()
    with_plan: dict = {PLAN_KEY: plan.ids}
    without_plan: dict = {PLAN_KEY: None}
    if references is not None:
        with_plan[REFERENCES_KEY] = tuple(references)
        without_plan[REFERENCES_KEY] = tuple(reference for reference in references if reference.in_negative)
    return (node_helpers.conditioning_set_values(positive, with_plan),
            node_helpers.conditioning_set_values(negative, without_plan))
