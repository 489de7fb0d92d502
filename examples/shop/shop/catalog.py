"""Taking over the supplier's catalogue."""

from __future__ import annotations

import csv
import io

from portafaas.runtime import Context, NotFound, ObjectEvent, ObjectHandler


class ImportCatalog(ObjectHandler):
    """A catalogue was uploaded: a CSV file with the columns sku and count."""

    def handle(self, event: ObjectEvent, context: Context) -> None:
        try:
            text = context.buckets["uploads"].read(event.key).decode("utf-8-sig")
        except NotFound:
            # The event is late, and whoever uploaded it has taken it away again.
            context.logger.warning("%s is no longer there", event.key)
            return
        rows = list(csv.DictReader(io.StringIO(text)))
        for row in rows:
            context.tables["stock"].put(
                {"sku": row["sku"], "article": row["sku"], "change": int(row["count"])}
            )
        context.logger.info("%d articles of %s", len(rows), event.key)
