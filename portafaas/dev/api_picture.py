"""Pictures as JSON: the page makes elements of them, one by one, and no markup of any text."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from portafaas.graph.machine_svg import MORE
from portafaas.graph.svg import STYLE

_SVG = "{http://www.w3.org/2000/svg}"


def stylesheet() -> bytes:
    """Return the rules of all pictures."""
    return (STYLE + MORE).encode("utf-8")


def tree(svg: str) -> list[Any]:
    """Return one of our own pictures as ``[tag, attributes, text or list of children]``.

    Its ``<style>`` is left out: see :func:`stylesheet`.
    """
    return _element(ElementTree.fromstring(svg.encode("utf-8", "replace")))


def _element(element: ElementTree.Element) -> list[Any]:
    children = [_element(child) for child in element if child.tag != f"{_SVG}style"]
    return [
        element.tag.removeprefix(_SVG),
        dict(element.attrib),
        children if children else element.text or "",
    ]
