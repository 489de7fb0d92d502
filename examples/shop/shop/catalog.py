"""Taking over the supplier's catalogue."""

from __future__ import annotations

import csv
import io

from portafaas.runtime import Context, NotFound, ObjectEvent, ObjectHandler


class ImportCatalog(ObjectHandler):
    """A catalogue was uploaded: a CSV file with the columns sku and count."""

    def handle(self, event: ObjectEvent, context: Context) -> None:
        try:
            file = context.buckets["uploads"].open(event.key)
        except NotFound:
            # The event is late, and whoever uploaded it has taken it away again.
            context.logger.warning("%s is no longer there", event.key)
            return
        count = 0
        with io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            for row in csv.DictReader(text):
                context.tables["stock"].put(
                    {"sku": row["sku"], "article": row["sku"], "change": int(row["count"])}
                )
                count += 1
        context.logger.info("%d articles of %s", count, event.key)
