"""What a package needs so that handlers reach what they use."""

from __future__ import annotations

from collections.abc import Sequence

from portafaas.plan import BuildPlan


def requirements(plan: BuildPlan) -> Sequence[str]:
    """Return pip requirements; none yet.

    """
    return ()
