"""Operations on plans: free functions that say what becomes of origins, coarse grid and log-probabilities."""

from ..errors import GLMImageError
from .plan import Plan


def select(plan: Plan, index: int, count: int = 1) -> Plan:
    """The ``count`` items from ``index`` on, counted from 0. They stay as they are, so all of their parts are kept.

    Raises GLMImageError if the batch does not have these items.
    """
    if not 0 <= index < plan.batch:
        raise GLMImageError(f"index must be from 0 to {plan.batch - 1}, as the batch has {plan.batch} plans "
                            f"(got {index})")
    rest = plan.batch - index
    if not 1 <= count <= rest:
        raise GLMImageError(f"count must be from 1 to {rest}, as {rest} of {plan.batch} plans are left from index "
                            f"{index} on (got {count})")
    items = slice(index, index + count)
    return Plan(plan.ids[items], None if plan.coarse is None else plan.coarse[items], plan.origins[items],
                None if plan.log_probs is None else plan.log_probs[items])
