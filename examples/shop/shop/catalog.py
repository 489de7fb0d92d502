"""Taking over the supplier's catalogue."""

from __future__ import annotations

from portafaas.runtime import Context, ObjectEvent, ObjectHandler


class ImportCatalog(ObjectHandler):
    """A catalogue was uploaded."""

    def handle(self, event: ObjectEvent, context: Context) -> None:
        context.logger.info("import %s, %s bytes", event.key, event.size)
