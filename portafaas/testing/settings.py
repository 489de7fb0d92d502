"""What functions are given for a test: secrets, settings, variables, API keys and tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from portafaas.local.secrets import LocalSecrets
from portafaas.plan import Auth, HttpTrigger
from portafaas.plan.config import VARIABLE
from portafaas.runtime.auth import JWKS_VARIABLE
from portafaas.testing.executor import Executor
from portafaas.testing.names import Names, unknown

#: The API key that every ``auth: key`` route of a test knows, as ``app.key``.
KEY = "portafaas-test-key"


class Settings:
    """What a test says of them; *home* is where its secrets are."""

    def __init__(self, executor: Executor, names: Names, home: Path) -> None:
        self._executor = executor
        self._plan = executor.plan
        self._names = names
        self._home = home
        self._changed: dict[str, Any] = {}

    def begin(self) -> None:
        """Have the functions know :data:`KEY`, and the issuer of :meth:`token`."""
        self._changed = {}
        self.api_keys({"test": KEY})
        if any(auth.scheme == "jwt" for auth in self._auths().values()):
            from portafaas.testing.bearer import jwks

            self.environment(**{JWKS_VARIABLE: jwks()})

    def secret(self, name: str, value: str | bytes) -> None:
        """Give a secret its value for this test."""
        self._names.resource("secret", name)
        data = value.encode("utf-8") if isinstance(value, str) else value
        LocalSecrets(self._home, self._plan).set(name, data)
        self._executor.renew()

    def config(self, **values: Any) -> None:
        """Change settings of ``config`` for this test; ``_`` in a name stands for ``-``, too."""
        declared: dict[str, Any] = {}
        for function in self._plan.functions:
            declared |= json.loads(function.environment.get(VARIABLE, "{}"))
        for name, value in values.items():
            real = name if name in declared else name.replace("_", "-")
            if real not in declared:
                raise unknown("setting", name, sorted(declared))
            self._changed[real] = value
        text = json.dumps({**declared, **self._changed}, ensure_ascii=False, sort_keys=True)
        self.environment(**{VARIABLE: text})

    def environment(self, _function: str = "", /, **values: str) -> None:
        """Set environment variables of all functions, or of the one that is named first."""
        if _function:
            self._names.function(_function)
        self._executor.variables.setdefault(_function, {}).update(values)
        self._executor.renew()

    def api_keys(self, keys: Mapping[str, str]) -> None:
        """Say which API keys are known: the names of their owners, and the keys."""
        variables = {auth.keys for auth in self._auths().values() if auth.keys}
        text = ",".join(
            f"{name}={hashlib.sha256(key.encode()).hexdigest()}" for name, key in keys.items()
        )
        if variables:
            self.environment(**dict.fromkeys(variables, text))

    def token(
        self,
        subject: str = "test",
        *,
        scopes: Iterable[str] | None = None,
        function: str | None = None,
        **claims: Any,
    ) -> str:
        """Return a bearer token for routes with ``auth: jwt``: of *function*'s, or the first.

        It has the route's issuer and audience, *scopes* (by default those that it asks for), and
        an hour to live; *claims* are put to it, or in place of these (``exp=0``).
        """
        from time import time

        from portafaas.testing import bearer

        auths = {name: auth for name, auth in self._auths().items() if auth.scheme == "jwt"}
        if function is not None and function not in auths:
            raise unknown("http function with 'auth: jwt'", function, auths)
        if not auths:
            raise LookupError("the manifest has no route with 'auth: jwt'")
        auth = auths[function] if function is not None else next(iter(auths.values()))
        now = int(time())
        found = {
            "iss": auth.issuer, "aud": auth.audience[0] if auth.audience else "", "sub": subject,
            "scope": " ".join(auth.scopes if scopes is None else scopes), "iat": now,
            "exp": now + 3600,
        }  # fmt: skip
        return bearer.token(found | claims, auth.algorithms)

    def _auths(self) -> dict[str, Auth]:
        """Return how callers of http functions are known, by function."""
        return {
            function.name: function.trigger.auth
            for function in self._plan.functions
            if isinstance(function.trigger, HttpTrigger) and function.trigger.auth is not None
        }
