"""Logs that are kept for another time than the project keeps its own.

What functions write goes to the project's bucket ``_Default``, which is shared by everything in the
project and keeps it for 30 days. Another retention needs a bucket of the service's own, and a sink
that copies the service's entries there.
https://cloud.google.com/logging/docs/buckets#custom-retention
"""

from __future__ import annotations

from portafaas_gcp import names
from portafaas_gcp.infrastructure.document import Document, key, ref

#: Days; of ``_Default`` unless somebody has changed the project.
DEFAULT_DAYS = 30
#: Functions of one sink: its filter has 20,000 characters, a service's name 49, and a project
#: 200 sinks. https://cloud.google.com/logging/quotas
SHARE = 350


def logs(document: Document) -> None:
    """Add the bucket and its sink, if the project's own bucket does not do.

    A sink to a bucket of its own project writes without a grant:
    https://cloud.google.com/logging/docs/export/configure_export_v2#dest-auth
    """
    plan = document.plan
    if plan.logs.retention == DEFAULT_DAYS or not plan.functions:
        return
    document.ask("$.logs.retention")
    bucket = document.add(
        "google_logging_project_bucket_config",
        "logs",
        {
            "project": "${var.project}",
            "location": "${var.region}",
            "bucket_id": names.physical(plan, limit=names.LOGS),
            "retention_days": plan.logs.retention,
        },
    )
    services = [names.service_name(plan, function) for function in plan.functions]
    for first in range(0, len(services), SHARE):
        number = str(first // SHARE + 1) if first else ""
        wanted = " OR ".join(f'"{name}"' for name in services[first : first + SHARE])
        document.add(
            "google_logging_project_sink",
            key(*("logs", number)[: 2 if number else 1]),
            {
                "name": names.physical(plan, number and f"-{number}", names.LOGS),
                "destination": f"logging.googleapis.com/{ref(bucket, 'id')}",
                "filter": 'resource.type="cloud_run_revision" AND '
                f"resource.labels.service_name=({wanted})",
                "unique_writer_identity": True,
            },
        )
