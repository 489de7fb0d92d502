"""What is handed to Terraform: the emitted documents as they are, and one of our own beside them.

Ours holds what only a deployment knows: outputs that say which release is there, imports of secrets
that had a value before the first deployment, and, for a local Terraform, where its state is. It
uses what Terraform 1.5 knows. Pure.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.deployment.release import Release
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_gcp.deployment.failures import failure

Documents = Mapping[str, Any]

OURS = "portafaas.tf.json"
INPUTS = "inputs.json"
#: Outputs of ours; a function's ends in ``_url``.
PACKAGE, RELEASE, KEPT = "portafaas_package", "portafaas_release", "portafaas_kept"
FUNCTION = "google_cloudfunctions2_function"
SECRET = "google_secret_manager_secret"
#: Terraform's own type of resource that stands for nothing.
MARK = "terraform_data"
_KEYS = "env_"
_ADDRESS = re.compile(r"\b(?:data\.)?google_[a-z0-9_]+\.[A-Za-z0-9_-]+")


def terraform(documents: Documents) -> dict[str, Any]:
    """Return those of the documents that Terraform reads."""
    return {name: value for name, value in documents.items() if name.endswith(".tf.json")}


def resources(documents: Documents) -> Iterator[tuple[str, str, Any]]:
    """Yield (type, name, body) of each resource that is declared, in the documents' order."""
    for document in terraform(documents).values():
        for kind, blocks in document.get("resource", {}).items():
            for name, body in blocks.items():
                yield kind, name, body


def variables(documents: Documents) -> dict[str, Any]:
    """Return the variables that are declared."""
    found: dict[str, Any] = {}
    for document in terraform(documents).values():
        found.update(document.get("variable", {}))
    return found


def inputs(
    release: Release, project: str, region: str, bucket: str, deployed: Mapping[str, str]
) -> dict[str, str]:
    """Return values for the variables of a release's documents that have none themselves.

    *deployed* are API keys' digests that are there now, by environment variable: kept unless the
    release has others. Raises PF8013 for keys that nobody knows.
    """
    known = {
        "project": project,
        "region": region,
        "source_bucket": bucket,
        "source_digest": release.file_digest,
    }
    found, problems = {}, []
    for name, body in variables(release.documents).items():
        if name in known:
            found[name] = known[name]
        elif name.startswith(_KEYS):
            wanted = name[len(_KEYS) :]
            value = release.keys.get(wanted) or deployed.get(wanted)
            if value:
                found[name] = value
            else:
                problems.append(_no_key(wanted))
        elif "default" not in body:
            problems.append(Diagnostic("PF8003", f"the document's variable {name!r} has no value"))
    if problems:
        raise DeploymentError("values are missing:", problems)
    return found


def _no_key(name: str) -> Diagnostic:
    return Diagnostic(
        "PF8013",
        f"the digests of the API keys, {name}, are known neither here nor to what is deployed",
        hint=f"set the environment variable: export {name}='<name>=<digest>', where the digest is "
        "that of printf %s \"$KEY\" | sha256sum",
    )


def companion(release: Release, imports: Mapping[str, str]) -> dict[str, Any]:
    """Return our document; *imports* are ids by address of what is there already."""
    document: dict[str, Any] = {
        "output": {
            PACKAGE: {"value": release.package_digest},
            RELEASE: {"value": release.digest},
        }
    }
    if imports:
        document["import"] = [{"to": to, "id": imports[to]} for to in sorted(imports)]
    return document


def marked(documents: Documents) -> dict[str, Any]:
    """Return our document of *documents* with its outputs said when all else has been done.

    An output with a value that is known beforehand is written even if what it depends on fails; a
    resource is not. https://developer.hashicorp.com/terraform/language/resources/terraform-data
    """
    own = dict(documents.get(OURS, {}))
    outputs = own.get("output", {})
    if KEPT in outputs:
        return own
    functions = [f"{kind}.{name}" for kind, name, _ in resources(documents) if kind == FUNCTION]
    others = [f"{kind}.{name}" for kind, name, _ in resources(documents) if kind != FUNCTION]
    after = {PACKAGE: functions, RELEASE: functions + others}
    own["resource"] = {
        MARK: {
            name: {"input": body["value"], "depends_on": after[name]}
            for name, body in outputs.items()
        }
    }
    own["output"] = {name: {"value": f"${{{MARK}.{name}.output}}"} for name in outputs}
    return own


def backend(bucket: str, prefix: str, endpoint: str = "") -> dict[str, Any]:
    """Return where Terraform keeps its state.

    https://developer.hashicorp.com/terraform/language/backend/gcs
    """
    place = {"bucket": bucket, "prefix": prefix}
    if endpoint:
        place["storage_custom_endpoint"] = endpoint
    return {"terraform": {"backend": {"gcs": place}}}


def bundle(documents: Documents) -> bytes:
    """Return a zip of documents, the same for the same ones."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(documents):
            text = json.dumps(documents[name], indent=1, ensure_ascii=False)
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode())
    return out.getvalue()


def unbundle(content: bytes) -> dict[str, Any]:
    """Return the documents of :func:`bundle`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def protected(documents: Documents) -> dict[str, tuple[str, Any]]:
    """Return (type, body) of the resources with data, which ``destroy`` keeps, by address."""
    return {
        f"{kind}.{name}": (kind, body)
        for kind, name, body in resources(documents)
        if "prevent_destroy" in body.get("lifecycle", {})
    }


def retained(documents: Documents, release: bool) -> dict[str, Any]:
    """Return documents that hold the data and nothing else; what they lack, Terraform removes.

    Arguments that tell of what goes go, too: a queue's subscription pushes no more, and is one to
    pull from. With *release* nothing protects the data any longer: the next step removes it.
    """
    kept = protected(documents)
    every = {f"{kind}.{name}" for kind, name, _ in resources(documents)}
    out: dict[str, Any] = {}
    for name, document in terraform(documents).items():
        if name == OURS:
            continue
        body = {key: document[key] for key in ("//", "terraform", "provider") if key in document}
        blocks: dict[str, Any] = {}
        for address, (kind, content) in kept.items():
            block = address.partition(".")[2]
            if block in document.get("resource", {}).get(kind, {}):
                lean = _lean(content, every - kept.keys())
                blocks.setdefault(kind, {})[block] = _guarded(kind, lean, not release)
        body["resource"] = blocks
        body.update(_needed(document, body))
        out[name] = body
    out[OURS] = {"output": {KEPT: {"value": "true"}}}
    return out


def _lean(body: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    out = {}
    for name, value in body.items():
        if name == "depends_on":
            value = [address for address in value if address not in gone]
            if not value:
                continue
        elif gone & set(_ADDRESS.findall(json.dumps(value))):
            continue
        out[name] = value
    return out


def _guarded(kind: str, body: Mapping[str, Any], guard: bool) -> dict[str, Any]:
    """Return a resource with data that is, or is not, protected from being deleted."""
    out = {**body, "lifecycle": {"prevent_destroy": guard}}
    if kind == "google_storage_bucket":
        out["force_destroy"] = not guard
    if kind == "google_firestore_database":
        word = "ENABLED" if guard else "DISABLED"
        out["delete_protection_state"] = f"DELETE_PROTECTION_{word}"
        out["deletion_policy"] = "ABANDON" if guard else "DELETE"
    return out


def _needed(document: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables, locals and data sources that *body* refers to, in turn."""
    found: dict[str, Any] = {}
    text = json.dumps(body)
    while True:
        sources: dict[str, Any] = {}
        for kind, blocks in document.get("data", {}).items():
            for block, content in blocks.items():
                if f"data.{kind}.{block}" in _ADDRESS.findall(text):
                    sources.setdefault(kind, {})[block] = content
        new = {
            "locals": _mentioned(document.get("locals", {}), "local", text),
            "data": sources,
            "variable": _mentioned(document.get("variable", {}), "var", text),
        }
        new = {name: content for name, content in new.items() if content}
        if new == found:
            return found
        found, text = new, json.dumps([body, new])


def _mentioned(blocks: Mapping[str, Any], prefix: str, text: str) -> dict[str, Any]:
    named = set(re.findall(rf"\b{prefix}\.([A-Za-z0-9_-]+)", text))
    return {name: content for name, content in blocks.items() if name in named}


def physical_name(body: Mapping[str, Any], given: Mapping[str, str]) -> str:
    """Return what a resource is called on the platform, for people."""
    for argument in ("name", "secret_id"):
        if argument in body:
            return re.sub(
                r"\$\{var\.(\w+)\}", lambda found: given.get(found[1], found[0]), body[argument]
            )
    return ""


def keys_of_functions(
    documents: Documents, environments: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Return the API keys' digests that are deployed, by variable.

    *environments* are the functions' variables, by the functions' addresses.
    """
    found = {}
    for body in environments.values():
        found.update({key: value for key, value in body.items() if value})
    wanted = {n[len(_KEYS) :] for n in variables(documents) if n.startswith(_KEYS)}
    return {name: value for name, value in found.items() if name in wanted}


def unpacked(content: bytes | None, where: str, mend: str) -> dict[str, Any]:
    """Return the documents of what lies at *where*; PF8006 when it is gone or not ours."""
    try:
        if content is not None:
            return unbundle(content)
    except (zipfile.BadZipFile, ValueError):
        pass
    raise failure(
        "PF8006",
        "what is deployed cannot be told:",
        f"{where}, the documents of the last deployment, is gone or damaged",
        mend,
    )
