"""``portafaas workflow picture``; :func:`register` puts it on the group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portafaas.cli import graph, options

if TYPE_CHECKING:
    from portafaas.deployment.workflows import RunState, StepEvent, Workflows
    from portafaas.plan import BuildPlan

    #: Manifest, target (None: this machine) and stage -> the plan, and its workflows there.
    Opened = Callable[[Path, str | None, str | None], tuple[BuildPlan, Workflows]]


def register(group: click.Group, opened: Opened) -> None:
    """Add ``picture`` to *group*; *opened* gives the workflows to ask for the run."""

    @group.command("picture")
    @click.argument("run")
    @click.option(
        "--workflow", metavar="NAME", shell_complete=graph.complete_workflow,
        help="The run's workflow.  [default: the one that knows it]",
    )  # fmt: skip
    @options.manifest
    @options.stage
    @options.one_target("The target whose run is meant.  [default: local]", False)
    @graph.format_option
    @graph.out_option
    def picture(
        run: str,
        workflow: str | None,
        manifest: Path,
        stage: str | None,
        target: str | None,
        format_: str | None,
        out: Path | None,
    ) -> None:
        """Draw a run: the steps of its workflow, and how each of them is."""
        plan, workflows = opened(manifest, target, stage)
        text = picture_of(plan, workflows, run, workflow, graph.format_of(format_, out))
        graph.write(text, out)


def picture_of(
    plan: BuildPlan, workflows: Workflows, run: str, workflow: str | None, format_: str
) -> str:
    """Return the picture of the run *run*; raises DeploymentError, PF8040 when there is none."""
    state, events = found(plan, workflows, run, workflow)
    return graph.machine_text(graph.workflow_of(plan, state.workflow), format_, state, events)


def found(
    plan: BuildPlan, workflows: Workflows, run: str, workflow: str | None
) -> tuple[RunState, Sequence[StepEvent]]:
    """Return how a run is and what happened in it; without *workflow*, all are asked for it."""
    from portafaas.errors import DeploymentError, Diagnostic

    names = [one.name for one in plan.workflows]
    if workflow is not None:
        names = [graph.workflow_of(plan, workflow).name]
    elif not names:
        raise click.UsageError("the manifest has no workflows")
    for name in names:
        try:
            state = workflows.status(name, run)
        except DeploymentError as error:
            if any(problem.code != "PF8040" for problem in error.diagnostics):
                raise
            continue
        return state, workflows.history(name, run)
    problem = Diagnostic(
        "PF8040",
        f"there is no run {run!r} of {', '.join(names)}",
        hint="'workflow start' printed its id",
    )
    raise DeploymentError("no picture:", [problem])
