"""The provider of ``terraform_provider`` with a cloud: a folder that holds what was made.

``python gcp_deployment_provider.py FOLDER TYPE...``. A file for each resource, which tests may edit
and remove; ``fail.json`` says which names fail how, ``wait`` makes whoever creates or updates wait
until it is gone, a file ``<name>.content`` makes a bucket one that is not empty.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgpack

# Beside this script; the tests import neither.
base: Any = importlib.import_module("terraform_provider")

NAMES = ("name", "secret_id", "account_id", "repository_id", "bucket_id")


def place(folder, kind, value):
    """Return the file of a resource: two of one kind and name are the same one."""
    known = {n: v for n, v in value.items() if not isinstance(v, msgpack.ExtType)}
    # Members of policies and the like have no name; what is called so is another's.
    member = kind.endswith("_iam_member")
    name = None if member else next((known[n] for n in NAMES if known.get(n)), None)
    text = json.dumps(known, sort_keys=True, default=str)
    return folder / kind / (name or hashlib.sha256(text.encode()).hexdigest()[:16]).replace("/", "_")


class CloudProvider(base.Provider):  # type: ignore[misc]
    folder: Path

    def _file(self, state):
        return self.folder / state["id"]

    def read_resource(self, request):
        state = base.read(base.unpack(request)[2])
        file = self._file(state)
        return base.pack((1, base.write(json.loads(file.read_text()) if file.exists() else None)))

    def apply_resource_change(self, request):
        fields = base.unpack(request)
        kind = fields[1].decode()
        before, after = base.read(fields[2]), base.read(fields[3])
        started = time.monotonic()
        while (self.folder / "wait").exists() and time.monotonic() < started + 30:
            (self.folder / "waiting").touch()
            time.sleep(0.01)
        try:
            value = self._change(kind, before, after)
        except ValueError as exc:
            said = base.pack((1, 1), (2, f"Error in {kind}"), (3, str(exc)))
            return base.pack((1, base.write(before)), (3, said), (4, True))
        return base.pack((1, base.write(value)), (4, True))

    def _change(self, kind, before, after):
        name = next((v for n in NAMES if isinstance(v := (after or before).get(n), str)), "")
        failing = self.folder / "fail.json"
        told = json.loads(failing.read_text()) if failing.exists() else {}
        if f"{kind}/{name}" in told:
            raise ValueError(told[f"{kind}/{name}"])
        if after is None:
            file = self._file(before)
            if before.get("delete_protection_state") == "DELETE_PROTECTION_ENABLED":
                raise ValueError("Error 400: the database is protected")
            if file.with_suffix(".content").exists() and not before.get("force_destroy"):
                raise ValueError("Error 409: the bucket is not empty")
            file.unlink(missing_ok=True)
            return None
        if before is None:
            file = place(self.folder, kind, after)
            if file.exists():
                raise ValueError(f"googleapi: Error 409: {name} already exists, alreadyExists")
            file.parent.mkdir(exist_ok=True)
            after["id"] = str(file.relative_to(self.folder))
        value = base.made(self.shapes[kind], after, f"{kind}/{name}")
        self._file(value).write_text(json.dumps(value))
        return value

    def import_resource_state(self, request):
        fields = base.unpack(request)
        kind, name = fields[1].decode(), fields[2].decode().rpartition("/")[2]
        shape = self.shapes[kind]
        state: dict[str, Any] = {**dict.fromkeys(shape["attributes"]), **{n: [] for n in shape["blocks"]}}
        state["id"] = f"{kind}/{name}"
        return base.pack((1, base.pack((1, kind), (2, base.write(state)))))


if __name__ == "__main__":
    CloudProvider.folder = Path(sys.argv.pop(1))
    base.Provider = CloudProvider
    base.CALLS = (*base.CALLS, "ImportResourceState")
    data = [kind for kind in sys.argv[1:] if kind.startswith("data.")]
    base.serve(
        [kind for kind in sys.argv[1:] if kind not in data], [kind[5:] for kind in data]
    )
