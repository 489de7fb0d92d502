"""Path templates: ``/orders/{id}`` and ``/files/{path*}``. Ships; imports nothing."""

from __future__ import annotations


class Route:
    """A compiled path template.

    ``{name}`` takes exactly one non-empty segment, a final ``{name*}`` the rest of the path, which
    may be empty. Matching is on the decoded path, is case-sensitive, and a trailing slash counts.
    """

    __slots__ = ("_parts", "rest", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        parts = template[1:].split("/")
        self.rest: str | None = None
        if parts[-1].startswith("{") and parts[-1].endswith("*}"):
            self.rest = parts.pop()[1:-2]
        self._parts = [
            (part[1:-1], True) if part.startswith("{") else (part, False) for part in parts
        ]

    def match(self, path: str) -> dict[str, str] | None:
        """Return the values of the template's names, or None when *path* does not match."""
        if path[:1] != "/":
            return None
        count = len(self._parts)
        if self.rest is None:
            segments = path[1:].split("/")
            if len(segments) != count:
                return None
        else:
            segments = path[1:].split("/", count)
            # "/files" matches "/files/{path*}" with an empty rest, as "/files/" does.
            if len(segments) < count:
                return None
        values: dict[str, str] = {}
        for (name, variable), segment in zip(self._parts, segments, strict=False):
            if variable:
                if not segment:
                    return None
                values[name] = segment
            elif name != segment:
                return None
        if self.rest is not None:
            values[self.rest] = segments[count] if len(segments) > count else ""
        return values
