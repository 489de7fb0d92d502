"""The bill of materials: CycloneDX 1.6 JSON, the same bytes for the same package.

https://cyclonedx.org/docs/1.6/json/. No time and no random number: the serial number is made from
the package's digest. Distributions are components of type ``library`` with a purl
(https://github.com/package-url/purl-spec), the project's and the shipped runtime's own files are
components of type ``file`` with their SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.artifact.distributions import Distribution
    from portafaas.artifact.member import Member
    from portafaas.plan import BuildPlan


def library(distribution: Distribution, hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return the component of *distribution*; *hashes* are SHA-256 by path of what is shipped.

    The property ``portafaas:content`` is the SHA-256 over the lines ``sha256  path`` of its shipped
    files: installing does not tell which archive a file came from, so no archive's hash is claimed.
    """
    from hashlib import sha256

    from portafaas.artifact.distributions import normalise

    name = normalise(distribution.name)
    version = distribution.version.replace("!", "%21").replace("+", "%2B")
    purl = f"pkg:pypi/{name}@{version}"
    shipped = sorted(path for path in distribution.files if path in hashes)
    content = sha256("".join(f"{hashes[path]}  {path}\n" for path in shipped).encode())
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": distribution.name,
        "version": distribution.version,
        "purl": purl,
        "properties": [{"name": "portafaas:content", "value": content.hexdigest()}],
    }
    if distribution.licences:
        component["licenses"] = [
            {"expression": text} if kind == "expression" else {"license": {"name": text}}
            for kind, text in distribution.licences
        ]
    return component


def document(
    plan: BuildPlan,
    target: str,
    members: Sequence[Member],
    libraries: Sequence[Mapping[str, Any]],
    digest: str,
) -> bytes:
    """Return the bill of materials of a package with *digest*, as UTF-8 JSON."""
    import json

    from portafaas import __version__

    hexes = digest.partition(":")[2]
    serial = f"{hexes[:8]}-{hexes[8:12]}-5{hexes[13:16]}-8{hexes[17:20]}-{hexes[20:32]}"
    files = [
        {
            "type": "file",
            "bom-ref": f"file:{member.name}",
            "name": member.name,
            "hashes": [{"alg": "SHA-256", "content": member.sha256}],
        }
        for member in sorted(members, key=lambda member: member.name)
        if member.origin != "dependency" and not member.name.endswith(".pyc")
    ]
    tool = {
        "type": "application",
        "name": "portafaas",
        "version": __version__,
        "purl": f"pkg:pypi/portafaas@{__version__}",
    }
    facts = {
        "digest": digest,
        "target": target,
        "python": plan.python,
        "architecture": plan.architecture,
        "stage": plan.stage,
    }
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "tools": {"components": [tool]},
            "component": {"type": "application", "bom-ref": "package", "name": plan.service},
            "properties": [
                {"name": f"portafaas:{name}", "value": value} for name, value in facts.items()
            ],
        },
        "components": [*libraries, *files],
    }
    return json.dumps(bom, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
