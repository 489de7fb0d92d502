"""What authentication costs at start: imports, seen from a bare interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
# What a package must not pay for before a key set has to be fetched.
HEAVY = {
    "asyncio", "base64", "dataclasses", "email", "http", "inspect", "logging", "random",
    "socket", "ssl", "threading", "typing", "urllib",
}  # fmt: skip


def loaded(code: str, *arguments: str) -> set[str]:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}\n"
        "print(' '.join(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *arguments],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return set(done.stdout.split())


def test_importing_loads_next_to_nothing() -> None:
    modules = loaded(
        "import portafaas.runtime.auth, portafaas.runtime.jwks, portafaas.runtime.p256"
    )
    assert not modules & (HEAVY | {"re", "enum", "json", "hashlib", "hmac"})


def test_a_key_is_checked_without_json_and_re() -> None:
    modules = loaded(
        "import hashlib\n"
        "from portafaas.runtime.auth import authenticate_key\n"
        "keys = {'K': 'a=' + hashlib.sha256(b'k').hexdigest()}\n"
        "assert authenticate_key({'x-api-key': 'k'}.get, 'K', keys).subject == 'a'"
    )
    assert not modules & (HEAVY | {"re", "enum", "json"})
    assert "portafaas.runtime.jws" not in modules


def test_a_token_is_checked_without_the_network_stack(issuer: Any) -> None:
    code = (
        "from portafaas.runtime.auth import authenticate_jwt\n"
        "spec = {'issuer': 'https://issuer.example', 'audience': ['orders'],"
        " 'algorithms': ['RS256', 'ES256']}\n"
        "headers = {'authorization': 'Bearer ' + sys.argv[1]}\n"
        "environ = {'PORTAFAAS_JWKS': sys.argv[2]}\n"
        "assert authenticate_jwt(headers.get, spec, environ).subject == 'alice'"
    )
    for index, algorithm in enumerate(("RS256", "ES256")):
        inline = json.dumps({"keys": [issuer.keys[index]]})
        modules = loaded(code, issuer.token(algorithm), inline)
        # json itself brings re and enum along.
        assert not modules & HEAVY
        assert ("portafaas.runtime.p256" in modules) == (algorithm == "ES256")
