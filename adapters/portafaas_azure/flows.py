"""Workflows in the generated module: orchestrators, and who hands runs on to them. Pure."""

from __future__ import annotations

from portafaas.plan import BuildPlan
from portafaas_azure.runtime.orchestrator import DEFINITION, entry_of

#: The function that starts, tells of and signals runs for functions of other apps.
CONTROL = "portafaas__workflows"
#: Where it is reached; the rest of the path is the workflow, the run, and the signal.
PATH = "portafaas/workflows"

_TEMPLATE = '''
    if not wanted or wanted & _TASKS:
        _register_workflows(app)


_TASKS = frozenset({tasks})
# orchestrator: (workflow, normal form)
_WORKFLOWS = {workflows}


def _definition(event):
    import json

    return json.dumps({{"ok": _WORKFLOWS[event][1]}})


def _orchestrator(name, workflow):
    bound = []

    def orchestrator(event):
        if not bound:
            from portafaas_azure.runtime.orchestrator import bind

            bound.append(bind(workflow))
        return bound[0](event)

    orchestrator.__name__ = orchestrator.__qualname__ = name
    return orchestrator


def _register_workflows(app):
    for name, (workflow, _) in _WORKFLOWS.items():
        function = app.function_name(name)(_orchestrator(name, workflow))
        app.generic_trigger(arg_name="event", type="orchestrationTrigger")(function)
    function = app.function_name("{definition}")(_definition)
    app.generic_trigger(arg_name="event", type="activityTrigger")(function)
{control}'''
_CONTROL = '''
    async def control(event, client):
        from portafaas_azure.runtime.control import serve

        return await serve(event, client)

    function = app.function_name("{name}")(control)
    function = app.generic_input_binding(arg_name="client", type="durableClient")(function)
    app.route(
        trigger_arg_name="event", route="{path}/{{workflow}}/{{run?}}/{{signal?}}",
        auth_level="ANONYMOUS", methods=["GET", "POST"],
    )(function)
'''


def control_needed(plan: BuildPlan) -> bool:
    """Tell whether a function starts runs."""
    return any(use.kind == "workflow" for function in plan.functions for use in function.uses)


def module(plan: BuildPlan) -> str:
    """Return what the generated module has for workflows, "" without any."""
    if not plan.workflows:
        return ""
    import pprint

    tasks = sorted(function.entry for function in plan.functions if function.kind == "task")
    machines = {
        entry_of(workflow.name): (workflow.name, workflow.machine) for workflow in plan.workflows
    }
    return _TEMPLATE.format(
        tasks=pprint.pformat(tasks, width=100),
        workflows=pprint.pformat(machines, width=100, sort_dicts=False),
        definition=DEFINITION,
        control=_CONTROL.format(name=CONTROL, path=PATH) if control_needed(plan) else "",
    )


__all__ = ["CONTROL", "DEFINITION", "PATH", "control_needed", "entry_of", "module"]
