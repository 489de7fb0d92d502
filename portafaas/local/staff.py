"""Which processes the functions of an application get, all of which start when first needed."""

from __future__ import annotations

import selectors

from portafaas.local.boxes import Boxes
from portafaas.local.broker import Broker
from portafaas.local.deliverer import Deliverer
from portafaas.local.hooks import Hooks
from portafaas.local.starter import Starter
from portafaas.local.workers import TaskWorker, Worker
from portafaas.local.workflows import Engine
from portafaas.plan import FunctionPlan

#: Most processes of a function that workflows call, when nothing bounds its instances.
_MOST = 8


def staff(
    starter: Starter,
    selector: selectors.BaseSelector,
    broker: Broker,
    engine: Engine | None,
    hooks: Hooks,
) -> list[Worker]:
    """Return what stands for the processes of all functions but those of http.

    Without an *engine* for those neither that workflows call.
    """
    found: list[Worker] = []
    for function in starter.plan.functions:
        if function.kind == "task":
            if engine is not None:
                found += [
                    TaskWorker(starter.plan, function, starter.start, selector, engine, hooks)
                    for _ in range(_callees(function))
                ]
        elif function.kind != "http":
            found += [
                Deliverer(function, starter.start, selector, broker, hooks, starter.vendor)
                for _ in range(_deliverers(broker.boxes, function))
            ]
    for worker in found:
        # What a vendor's runtime has, who has started it looks after.
        worker.unlimited = starter.vendor is not None or worker.function.name in starter.debugging
    return found


def _callees(function: FunctionPlan) -> int:
    if function.max_instances:
        return min(function.max_instances * function.concurrency, 40)
    return max(_MOST, function.concurrency)


def _deliverers(boxes: Boxes, function: FunctionPlan) -> int:
    most = boxes.concurrency(function)
    return min(function.concurrency, most) if most else function.concurrency
