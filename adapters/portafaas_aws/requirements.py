"""What a package needs so that handlers reach what they use."""

from __future__ import annotations

from collections.abc import Sequence

from portafaas.plan import BuildPlan


def requirements(plan: BuildPlan) -> Sequence[str]:
    """Return pip requirements; none: boto3 is part of Lambda's Python runtimes.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
    """
    return ()
