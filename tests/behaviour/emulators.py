"""Starts the emulators that the back ends are; each says why when it cannot be had here."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A process that listens on a port of 127.0.0.1."""

    def __init__(self, words: Sequence[str], port: int, folder: Path, host: str = "127.0.0.1"):
        self.port = port
        self._log = (folder / f"{Path(words[0]).name}-{port}.log").open("w+b")
        self._process = subprocess.Popen(
            words, cwd=folder, stdout=self._log, stderr=subprocess.STDOUT
        )
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((host, port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    self._log.seek(0)
                    said = self._log.read().decode(errors="replace")
                    self.close()
                    raise RuntimeError(f"{words[0]} did not start: {said}") from None
                time.sleep(0.05)

    def close(self) -> None:
        """Stop the process."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._log.close()


def npm(command: str) -> str:
    """Return the path of a *command* of ``requirements/npm``; skips where there is none.

    ``make setup`` installs it beside the environment's Python; one of the PATH does as well.
    """
    place = Path(sys.prefix) / "npm" / "node_modules" / ".bin" / command
    found = str(place) if place.exists() else shutil.which(command)
    if found is None:
        pytest.skip(f"{command} is not installed: make setup installs it where there is npm")
    return found


@contextmanager
def azurite(folder: Path, pem: str) -> Iterator[str]:
    """Run Azurite with the key and certificate *pem*; yields the address of its account.

    It takes tokens, of any issuer, and takes them through TLS only.
    """
    command, port = npm("azurite-blob"), free_port()
    server = Server(
        [command, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent",
         "--oauth", "basic", "--cert", pem, "--key", pem, "--skipApiVersionCheck",
         "--inMemoryPersistence", "--disableTelemetry"],
        port, folder,
    )  # fmt: skip
    try:
        yield f"https://127.0.0.1:{port}/devstoreaccount1"
    finally:
        server.close()


def jar(pattern: str) -> str:
    """Return the newest jar of the Google Cloud CLI's emulators; skips where there is none."""
    gcloud = shutil.which("gcloud")
    if gcloud is None or shutil.which("java") is None:
        pytest.skip("neither gcloud nor its emulators, or no java, are installed")
    found = sorted((Path(gcloud).resolve().parents[1] / "platform").glob(pattern))
    if not found:
        pytest.skip(f"the Google Cloud CLI has no {pattern}")
    return str(found[-1])


def certificate(path: Path) -> str:
    """Write a key and a certificate of 127.0.0.1 and localhost to *path*; return the path."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))
    ]  # fmt: skip
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip
    return str(path)
