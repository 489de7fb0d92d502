"""Handlers that do what handlers should not; the path says what."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from portafaas.runtime import Context, HttpHandler, Request, Response


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even its text can be had")

    __repr__ = __str__


class Act(HttpHandler):
    def handle(self, request: Request, context: Context) -> Any:
        what = request.path_params["what"].replace("-", "_")
        return getattr(self, what)(request, context)

    def fine(self, request: Request, context: Context) -> Any:
        return {"fine": True}

    def pid(self, request: Request, context: Context) -> Any:
        return {"pid": os.getpid()}

    # Ends

    def exit_now(self, request: Request, context: Context) -> Any:
        os._exit(3)

    def exit_in_thread(self, request: Request, context: Context) -> Any:
        threading.Thread(target=lambda: os._exit(3)).start()
        time.sleep(30)

    def kill(self, request: Request, context: Context) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(30)

    def abort(self, request: Request, context: Context) -> Any:
        os.abort()

    # Hangs

    def sleep(self, request: Request, context: Context) -> Any:
        time.sleep(30)

    def spin(self, request: Request, context: Context) -> Any:
        while True:
            pass

    def lock(self, request: Request, context: Context) -> Any:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    def subprocess_wait(self, request: Request, context: Context) -> Any:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(30)"], check=True)

    def read_pipe(self, request: Request, context: Context) -> Any:
        reader, _ = os.pipe()
        os.read(reader, 1)

    def new_loop(self, request: Request, context: Context) -> Any:
        asyncio.run(asyncio.sleep(30))

    def hold_the_interpreter(self, request: Request, context: Context) -> Any:
        # No bytecode runs meanwhile, on no thread: nothing in the process can answer.
        sum(range(10**12))

    def own_alarm(self, request: Request, context: Context) -> Any:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        except ValueError:
            pass  # not on the main thread
        time.sleep(30)

    # Leaves things behind

    def fork(self, request: Request, context: Context) -> Any:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        return {"pid": pid}

    def child(self, request: Request, context: Context) -> Any:
        code = "import time; time.sleep(60)"
        return {"pid": subprocess.Popen([sys.executable, "-c", code]).pid}

    def threads(self, request: Request, context: Context) -> Any:
        for daemon in (True, False):
            threading.Thread(target=time.sleep, args=(60,), daemon=daemon).start()
        return {"threads": True}

    def thread_raises(self, request: Request, context: Context) -> Any:
        def work() -> None:
            raise RuntimeError("in a thread of its own")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return {"joined": True}

    # Output

    def long_log(self, request: Request, context: Context) -> Any:
        for _ in range(20):
            print("x" * 50_000)
            context.logger.info("y" * 50_000)
        return {"logged": True}

    def one_long_line(self, request: Request, context: Context) -> Any:
        sys.stdout.write("z" * 2_000_000)
        return {"logged": True}

    def many_lines(self, request: Request, context: Context) -> Any:
        # More than a pipe holds.
        for number in range(2_000):
            print("x" * 60, number)
        return {"logged": True}

    def binary_output(self, request: Request, context: Context) -> Any:
        sys.stdout.flush()
        sys.stdout.buffer.write(bytes(range(256)) * 10)
        sys.stdout.buffer.flush()
        os.write(1, b"\xff\x00\xfe\n")
        os.write(2, b"\xff\x00\xfe\n")
        return {"printed": True}

    def close_output(self, request: Request, context: Context) -> Any:
        sys.stdout.close()
        return {"closed": True}

    def close_errors(self, request: Request, context: Context) -> Any:
        sys.stderr.close()
        context.logger.error("into the void")
        return {"closed": True}

    def no_output(self, request: Request, context: Context) -> Any:
        sys.stdout = sys.stderr = None  # type: ignore[assignment]
        context.logger.error("into the void")
        return {"closed": True}

    def close_descriptors(self, request: Request, context: Context) -> Any:
        for number in (0, 1, 2):
            os.close(number)
        context.logger.error("into the void")
        return {"closed": True}

    def closed_and_raises(self, request: Request, context: Context) -> Any:
        sys.stderr.close()
        sys.stdout.close()
        raise RuntimeError("and nobody can be told")

    def no_logging(self, request: Request, context: Context) -> Any:
        logging.root.handlers.clear()
        logging.disable(logging.CRITICAL)
        logging.shutdown()
        context.logger.error("into the void")
        return {"logged": False}

    def strange_log(self, request: Request, context: Context) -> Any:
        context.logger.info("%d", "no number")
        context.logger.info("lone surrogate \udc80")
        context.logger.info("object", extra={"thing": object(), "nan": float("nan"), "k": {1: {2}}})
        context.logger.info("unprintable", extra={"thing": Unprintable()})
        return {"logged": True}

    # Process state

    def change_directory(self, request: Request, context: Context) -> Any:
        os.chdir("/")
        return {"changed": True}

    def clear_environment(self, request: Request, context: Context) -> Any:
        os.environ.clear()
        return {"changed": True}

    def clear_path(self, request: Request, context: Context) -> Any:
        sys.path.clear()
        sys.path_importer_cache.clear()
        return {"changed": True}

    def forget_modules(self, request: Request, context: Context) -> Any:
        for name in [name for name in sys.modules if name.split(".")[0] in ("bad", "json")]:
            del sys.modules[name]
        return {"changed": True}

    def change_signals(self, request: Request, context: Context) -> Any:
        try:
            for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_IGN)
        except ValueError:
            pass  # not on the main thread
        return {"changed": True}

    def mask_signals(self, request: Request, context: Context) -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        return {"changed": True}

    def strict_warnings(self, request: Request, context: Context) -> Any:
        import warnings

        warnings.simplefilter("error")
        return {"changed": True}

    def change_locale(self, request: Request, context: Context) -> Any:
        os.environ["TZ"] = "Pacific/Kiritimati"
        time.tzset()
        os.umask(0o777)
        return {"changed": True}

    def trace(self, request: Request, context: Context) -> Any:
        sys.settrace(lambda *_: None)
        sys.excepthook = lambda *_: os._exit(1)
        return {"changed": True}

    # Raises

    def recursion(self, request: Request, context: Context) -> Any:
        return self.recursion(request, context)

    def memory(self, request: Request, context: Context) -> Any:
        raise MemoryError

    def unprintable(self, request: Request, context: Context) -> Any:
        raise Unprintable

    def surrogate(self, request: Request, context: Context) -> Any:
        raise ValueError("lone surrogate \udc80")

    def long_message(self, request: Request, context: Context) -> Any:
        raise ValueError("x" * 1_000_000)

    def interrupt(self, request: Request, context: Context) -> Any:
        raise KeyboardInterrupt

    def generator_exit(self, request: Request, context: Context) -> Any:
        raise GeneratorExit

    def stop(self, request: Request, context: Context) -> Any:
        raise StopIteration

    def cancelled(self, request: Request, context: Context) -> Any:
        raise asyncio.CancelledError

    def timeout_error(self, request: Request, context: Context) -> Any:
        raise TimeoutError("the function's own")

    def group(self, request: Request, context: Context) -> Any:
        raise BaseExceptionGroup("many", [KeyboardInterrupt(), SystemExit(1)])

    def chain(self, request: Request, context: Context) -> Any:
        error: BaseException | None = None
        for number in range(2000):
            following = ValueError(number)
            following.__cause__ = error
            error = following
        assert error is not None
        raise error

    # Answers

    def deep_json(self, request: Request, context: Context) -> Any:
        return {"depth": len(request.json())}

    def nested(self, request: Request, context: Context) -> Any:
        value: Any = []
        for _ in range(100_000):
            value = [value]
        return value

    def circular(self, request: Request, context: Context) -> Any:
        value: list[Any] = []
        value.append(value)
        return value

    def surrogate_text(self, request: Request, context: Context) -> Any:
        return "lone surrogate \udc80"

    def surrogate_json(self, request: Request, context: Context) -> Any:
        return {"a": "lone surrogate \udc80"}

    def surrogate_header(self, request: Request, context: Context) -> Any:
        return Response("x", 200, {"x-case": "\udc80"})

    def surrogate_cookie(self, request: Request, context: Context) -> Any:
        return Response("x", 200, [("set-cookie", "a=\udc80")])

    def wide_header(self, request: Request, context: Context) -> Any:
        return Response("x", 200, {"x-case": "\u4f60\u597d"})

    def nan(self, request: Request, context: Context) -> Any:
        return {"a": float("nan"), "b": float("inf")}

    def huge_number(self, request: Request, context: Context) -> Any:
        return {"a": 10**5000}

    def number_keys(self, request: Request, context: Context) -> Any:
        return {1: "one", None: "none", False: "false"}

    def tuple_keys(self, request: Request, context: Context) -> Any:
        return {(1, 2): 3}

    def bool_status(self, request: Request, context: Context) -> Any:
        return Response("x", True)

    def huge_status(self, request: Request, context: Context) -> Any:
        return Response("x", 10**30)

    def coroutine(self, request: Request, context: Context) -> Any:
        async def later() -> dict[str, bool]:
            return {"later": True}

        return later()

    def handler_class(self, request: Request, context: Context) -> Any:
        return Act

    def breaks_request(self, request: Request, context: Context) -> Any:
        for name in ("method", "path", "headers", "body", "query", "path_params"):
            try:
                setattr(request, name, None)
            except AttributeError:
                pass
        return {"broken": True}

    def breaks_context(self, request: Request, context: Context) -> Any:
        for name in ("deadline", "logger", "function", "invocation_id", "raw"):
            try:
                setattr(context, name, None)
            except AttributeError:
                pass
        raise ValueError("with a broken context")


class AsyncAct(HttpHandler):
    async def handle(self, request: Request, context: Context) -> Any:
        return await getattr(self, request.path_params["what"].replace("-", "_"))()

    async def fine(self) -> Any:
        return {"fine": True}

    async def exit_now(self) -> Any:
        os._exit(3)

    async def sleep(self) -> Any:
        await asyncio.sleep(30)

    async def swallows(self) -> Any:
        while True:
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                pass

    async def stops_the_loop(self) -> Any:
        asyncio.get_running_loop().stop()
        return {"stopped": True}

    async def task_left(self) -> Any:
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        return {"task": True}

    async def task_raises(self) -> Any:
        async def work() -> None:
            raise RuntimeError("in a task of its own")

        self.task = asyncio.get_running_loop().create_task(work())
        await asyncio.sleep(0.01)
        return {"task": True}

    async def interrupt(self) -> Any:
        raise KeyboardInterrupt

    async def exit(self) -> Any:
        sys.exit(3)

    async def cancelled(self) -> Any:
        raise asyncio.CancelledError

    async def recursion(self) -> Any:
        return await self.recursion()

    async def result_is_coroutine(self) -> Any:
        return asyncio.sleep(0)


def read(request: Request, context: Context) -> Any:
    return json.loads(request.body)
