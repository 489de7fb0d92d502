"""What runs the Terraform of Infrastructure Manager: Terraform, or a list that stands for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any


class Ran(dict[str, Any]):
    """``outputs``, ``resources`` ((address, type, state)) and ``errors`` of a run."""


class Listed:
    """Makes what documents list, in their order, and stops at what is told to fail."""

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, Any] = {}
        #: (status, text) by address.
        self.fail: dict[str, tuple[int, str]] = {}
        #: Of the next plan.
        self.drift: list[dict[str, Any]] = []

    def apply(self, files: dict[str, Any], inputs: dict[str, Any]) -> Ran:
        wanted, errors = self._wanted(files, inputs), []
        for address in [a for a in self.state if a not in wanted]:
            if address in self.fail:
                errors.append(self._error(address))
            else:
                del self.state[address]
        for address, body in wanted.items():
            if address in self.fail:
                errors.append(self._error(address))
            elif not errors:
                self.state[address] = body
        if not errors:
            self.outputs = {
                name: {"value": self._given(body["value"], inputs)}
                for document in files.values()
                for name, body in document.get("output", {}).items()
            }
        listed = [(address, address.partition(".")[0], "RECONCILED") for address in self.state]
        listed += [(e["resourceAddress"], e["resourceAddress"].partition(".")[0], "FAILED") for e in errors]
        return Ran(outputs=self.outputs if not errors else {}, resources=listed, errors=errors)

    def destroy(self) -> Ran:
        protected = [
            a for a, body in self.state.items()
            if body.get("lifecycle", {}).get("prevent_destroy") or a in self.fail
        ]  # fmt: skip
        if protected:
            errors = [{"errorDescription": f"{protected[0]} has prevent_destroy set"}]
            if protected[0] in self.fail:
                errors = [self._error(protected[0])]
            return Ran(outputs={}, resources=[], errors=errors)
        self.state.clear()
        return Ran(outputs={}, resources=[], errors=[])

    def plan(self, files: dict[str, Any], inputs: dict[str, Any]) -> Any:
        wanted, found = self._wanted(files, inputs), []
        for address in wanted.keys() | self.state.keys():
            before, after = self.state.get(address), wanted.get(address)
            actions = ["create"] if before is None else ["delete"] if after is None else ["update"]
            if before == after:
                actions = ["no-op"]
            found.append({
                "address": address, "type": address.partition(".")[0], "mode": "managed",
                "change": {"actions": actions, "before": before, "after": after},
            })  # fmt: skip
        return {"resource_changes": found, "resource_drift": self.drift}

    def _wanted(self, files: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        for document in files.values():
            for name, body in document.get("variable", {}).items():
                assert "default" in body or name in inputs, f"{name} has no value"
        known = {n for document in files.values() for n in document.get("variable", {})}
        assert inputs.keys() <= known, f"{inputs.keys() - known} are not declared"
        return {
            f"{kind}.{name}": self._given(body, inputs)
            for document in files.values()
            for kind, blocks in document.get("resource", {}).items()
            for name, body in blocks.items()
            if "for_each" not in body
        }

    def _given(self, value: Any, inputs: dict[str, Any]) -> Any:
        text = json.dumps(value).replace(
            '${trimprefix(var.source_digest, \\"sha256:\\")}',
            str(inputs.get("source_digest")).removeprefix("sha256:"),
        )
        return json.loads(re.sub(r"\$\{var\.(\w+)\}", lambda v: str(inputs.get(v[1], "")), text))

    def _error(self, address: str) -> dict[str, Any]:
        status, text = self.fail[address]
        return {"resourceAddress": address, "httpResponseCode": status, "errorDescription": text}


class Terraform:
    """Runs the real one in a folder, with the provider of ``gcp_deployment_provider``."""

    def __init__(self, binary: str, folder: Path, provider: str) -> None:
        self._binary = binary
        self._folder = folder
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TF_")},
            "TF_REATTACH_PROVIDERS": provider,
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }
        self._lock = threading.Lock()
        self._last: tuple[dict[str, Any], dict[str, Any]] = ({}, {})

    def _run(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [self._binary, *arguments], cwd=self._folder, env=self._environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + (done.stderr if "-json" not in arguments else "")

    def _prepare(self, files: dict[str, Any], inputs: dict[str, Any]) -> None:
        for old in self._folder.glob("*.tf*.json"):
            old.unlink()
        for name, value in files.items():
            (self._folder / name).write_text(json.dumps(value))
        (self._folder / "terraform.tfvars.json").write_text(json.dumps(inputs))
        status, said = self._run("init", "-input=false", "-no-color")
        assert status == 0, said

    def apply(self, files: dict[str, Any], inputs: dict[str, Any]) -> Ran:
        with self._lock:
            self._prepare(files, inputs)
            self._last = (files, inputs)
            return self._after(*self._run("apply", "-auto-approve", "-input=false", "-json"))

    def destroy(self) -> Ran:
        with self._lock:
            return self._after(*self._run("destroy", "-auto-approve", "-input=false", "-json"))

    def plan(self, files: dict[str, Any], inputs: dict[str, Any]) -> Any:
        with self._lock:
            self._prepare(files, inputs)
            status, said = self._run("plan", "-input=false", "-out=plan")
            assert status == 0, said
            return json.loads(self._run("show", "-json", "plan")[1])

    def _after(self, status: int, said: str) -> Ran:
        errors = []
        for line in said.splitlines():
            item = json.loads(line)
            if item.get("@level") == "error" and item["type"] == "diagnostic":
                found = item["diagnostic"]
                text = f"{found['summary']}: {found['detail']}"
                http = re.search(r"Error (\d{3})", text)
                errors.append({
                    "resourceAddress": found.get("address", ""), "errorDescription": text,
                    "httpResponseCode": int(http[1]) if http else 0,
                })  # fmt: skip
        assert bool(errors) == bool(status), said
        state = json.loads((self._folder / "terraform.tfstate").read_text())
        listed = [
            (f"{r['type']}.{r['name']}", r["type"], "RECONCILED")
            for r in state["resources"] if r["instances"] and r["mode"] == "managed"
        ]  # fmt: skip
        outputs = {n: {"value": o["value"]} for n, o in state["outputs"].items()}
        return Ran(outputs=outputs, resources=listed, errors=errors)
