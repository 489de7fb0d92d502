"""The worker process: drive ``azure-functions-runtime`` from JSON lines on a socket.

Started as ``python vendor_driver.py APP_FOLDER SOCKET_FD``. It does for the runtime what the
worker's proxy does, without gRPC: event loop on the main thread, thread pool for sync functions,
root logger at INFO, and the import order of the platform.
https://github.com/Azure/azure-functions-python-worker/tree/dev/workers/proxy_worker

In: ``{"id", "function", "request"}``. Out, first: ``{"functions"}`` or ``{"error"}``; then one
``{"id", "ok", "value", "outputs", "error"}`` per request, in order of completion.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import types
from typing import Any


class _Driver:
    def __init__(self, app: str, channel: socket.socket) -> None:
        self._app = app
        self._channel = channel
        self._ids: dict[str, str] = {}
        self._triggers: dict[str, str] = {}
        # The loop keeps only weak references to its tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Index the app, then serve requests until the other side closes."""
        import azure_functions_runtime as runtime

        self._runtime = runtime
        reader, self._writer = await asyncio.open_connection(sock=self._channel, limit=1 << 30)
        runtime.start_threadpool_executor()
        self._send(await self._index())
        while line := await reader.readline():
            task = asyncio.get_running_loop().create_task(self._invoke(json.loads(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _send(self, message: dict[str, Any]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _request(self, verb: str, **request: Any) -> Any:
        message = messages.Message(
            name=verb,
            request=messages.Message(**request),
            properties={"protos": messages.PROTOS, "host": "127.0.0.1"},
        )
        return await getattr(self._runtime, verb)(message)

    async def _index(self) -> dict[str, Any]:
        init = messages.Message(capabilities={}, function_app_directory=self._app)
        answer = await self._request("worker_init_request", worker_init_request=init)
        if answer.result.status == 1:
            version = answer.worker_metadata.worker_version
            answer = await self._request("functions_metadata_request")
        if answer.result.status != 1:
            return {"error": _error(answer.result.exception)}
        functions = {}
        for function in answer.function_metadata_results or ():
            bindings = [json.loads(text) for text in function.raw_bindings]
            functions[function.name] = {"id": function.function_id, "bindings": bindings}
            self._ids[function.name] = function.function_id
            trigger = next(b for b in bindings if b["type"].lower().endswith("trigger"))
            self._triggers[function.name] = trigger["name"]
            load = messages.Message(function_id=function.function_id)
            await self._request("function_load_request", function_load_request=load)
        return {"functions": functions, "worker_version": version}

    async def _invoke(self, line: dict[str, Any]) -> None:
        name, request = line["function"], line["request"]
        read = messages.read_data
        data = read(request["trigger"])
        trigger = messages.ParameterBinding(name=self._triggers[name], data=data)
        inputs = [
            messages.ParameterBinding(name=binding, data=read(value))
            for binding, value in (request.get("inputs") or {}).items()
        ]
        trace, retry = request.get("trace") or {}, request.get("retry") or {}
        default = f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00"
        invocation = messages.Message(
            invocation_id=line["id"],
            function_id=self._ids[name],
            input_data=[trigger, *inputs],
            trigger_metadata={k: read(v) for k, v in (request.get("metadata") or {}).items()},
            trace_context=messages.Message(
                trace_parent=trace.get("parent", default),
                trace_state=trace.get("state", ""),
                attributes={},
            ),
            retry_context=messages.Message(
                retry_count=retry.get("count", 0), max_retry_count=retry.get("max", 0)
            ),
        )
        answer = await self._request("invocation_request", invocation_request=invocation)
        ok = answer.result.status == 1
        self._send(
            {
                "id": line["id"],
                "ok": ok,
                "value": messages.write_data(answer.return_value),
                "outputs": {p.name: messages.write_data(p.data) for p in answer.output_data or ()},
                "error": None if ok else _error(answer.result.exception),
            }
        )


def _error(exception: Any) -> dict[str, str]:
    return {"message": exception.message or "", "stack": exception.stack_trace or ""}


class _UserRecords(logging.Filter):
    """Drop what the runtime logs about itself; the host files it apart from user logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or not record.name.startswith("azure.functions")


def _set_up_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_UserRecords())
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)


def _set_up_imports(app: str) -> None:
    # Order of the worker's DependencyManager: the package's dependencies, then the worker's, the
    # package's own modules last.
    sys.path[:1] = [os.path.join(app, ".python_packages", "lib", "site-packages")]  # noqa: PTH118
    sys.path.append(app)


def _load_messages() -> types.ModuleType:
    # By path, so that this folder never gets onto the import path of user code.
    from importlib.util import module_from_spec, spec_from_file_location

    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    path = os.path.join(here, "vendor_messages.py")  # noqa: PTH118
    spec = spec_from_file_location("portafaas_azure_vendor_messages", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    app_folder, channel_fd = sys.argv[1:]
    messages = _load_messages()
    _set_up_imports(app_folder)
    _set_up_logging()
    with socket.socket(fileno=int(channel_fd)) as open_channel:
        open_channel.set_inheritable(False)
        asyncio.run(_Driver(app_folder, open_channel).run())
    # Threads that still run user code would keep the interpreter alive.
    os._exit(0)
