"""A run of ``terraform`` or ``tofu`` in a folder of its own.

https://developer.hashicorp.com/terraform/internals/machine-readable-ui
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from portafaas.deployment.contract import Progress, Report
from portafaas.errors import DeploymentError, Diagnostic
from portafaas_gcp.deployment.documents import MARK
from portafaas_gcp.deployment.failures import failure, is_lock, of_resource, scrub

_STATES = {
    "apply_start": "started",
    "apply_progress": "under way",
    "apply_complete": "complete",
    "apply_errored": "failed",
}
#: What Terraform writes when it cannot write its state where it belongs:
#: https://developer.hashicorp.com/terraform/language/state/backends#manual-state-pull-push
ERRORED = "errored.tfstate"


def binary() -> str:
    """Return the program; PF8004 when there is none."""
    found = shutil.which("terraform") or shutil.which("tofu")
    if found is None:
        raise failure(
            "PF8004",
            "Terraform is not installed:",
            "targets.gcp.engine is terraform, and neither terraform nor tofu is on the path",
            "install OpenTofu or Terraform 1.5 or newer, or use engine: infrastructure-manager",
        )
    return found


class Workspace:
    """A folder with documents, gone with this object; values are given by the environment.

    Terraform's own variables (TF_PLUGIN_CACHE_DIR, TF_LOG...) are let through.
    """

    def __init__(
        self, documents: Mapping[str, Any], given: Mapping[str, str], secrets: Iterable[str]
    ) -> None:
        self._binary = binary()
        self.path = Path(tempfile.mkdtemp(prefix="portafaas-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        self._secrets = list(secrets)
        for name, value in documents.items():
            (self.path / name).write_text(json.dumps(value), encoding="utf-8")
        self._environment = {
            **os.environ,
            **{f"TF_VAR_{name}": value for name, value in given.items()},
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
        }

    def init(self) -> None:
        """Find the provider, and the state."""
        self._done(["init", "-input=false", "-no-color"], None)

    def plan(self, *arguments: str) -> Any:
        """Return the plan as JSON; the plan itself stays in the folder, for :meth:`apply`."""
        # Lines of JSON, so that errors have their addresses.
        self._done(["plan", "-input=false", "-json", "-out=plan", *arguments], None)
        shown = self._run(["show", "-json", "plan"], None)
        return json.loads(shown[1])

    def apply(self, report: Report) -> None:
        """Do what :meth:`plan` said, or, without it, what there is to do.

        PF8005 if somebody else did something since the plan.
        """
        what = "plan" if (self.path / "plan").exists() else "-auto-approve"
        self._done(["apply", "-input=false", "-json", what], report)

    def destroy(self, report: Report) -> None:
        """Remove all."""
        self._done(["destroy", "-auto-approve", "-input=false", "-json"], report)

    def keep(self) -> Path:
        """Leave the folder on disk: it has the only copy of the state."""
        place = Path(tempfile.mkdtemp(prefix="portafaas-state-"))
        shutil.copytree(self.path, place, dirs_exist_ok=True)
        return place

    def _done(self, arguments: list[str], report: Report | None) -> None:
        status, out, err, problems = self._run(arguments, report)
        if status == 0:
            return
        if (self.path / ERRORED).exists():
            place = self.keep()
            raise failure(
                "PF8006",
                "Terraform could not write its state, which must be mended first:",
                scrub(" ".join(err.split())[-300:] or "the store refused it", self._secrets),
                f"cd {place} && {Path(self._binary).name} state push {ERRORED}",
            )
        if not problems:
            text = scrub(" ".join(f"{err} {out}".split())[-600:], self._secrets)
            code = "PF8005" if is_lock(text) else "PF8007"
            problems = [Diagnostic(code, text or f"exit status {status}")]
        raise DeploymentError(f"terraform {arguments[0]} failed:", problems)

    def _run(
        self, arguments: list[str], report: Report | None
    ) -> tuple[int, str, str, list[Diagnostic]]:
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
            # A session of its own: a Ctrl-C reaches Terraform once, through us. At the second one
            # it would stop without writing its state.
            subprocess.Popen(
                [self._binary, *arguments],
                cwd=self.path,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            ) as process,
        ):
            out: list[str] = []
            problems: list[Diagnostic] = []
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    out.append(line)
                    self._heard(line, report, problems)
            except BaseException:
                process.send_signal(signal.SIGINT)
                process.communicate()
                raise
            status = process.wait()
            errors.seek(0)
            return status, "".join(out), errors.read(), problems

    def _heard(self, line: str, report: Report | None, problems: list[Diagnostic]) -> None:
        try:
            said = json.loads(line)
            kind = said["type"]
        except (ValueError, TypeError, KeyError):
            return
        if kind == "diagnostic" and said["diagnostic"].get("severity") == "error":
            found = said["diagnostic"]
            text = f"{found.get('summary', '')}: {found.get('detail', '')}".strip(": ")
            problems.append(of_resource(found.get("address", ""), text, 0, self._secrets))
        if report is not None and kind in _STATES:
            about = said["hook"]["resource"]
            if about["resource_type"] == MARK:
                return
            report(Progress(about["addr"], about["resource_type"], _STATES[kind]))
