"""Starts the emulators that the back ends are; each says why when it cannot be had here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

#: From npm, into the cache: what runs Cosmos DB and Azure's storage.
PACKAGES = ("@vercel/cosmosdb-server@1.0.1", "azurite@3.35.0")


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
    """Return the path of a *command* of PACKAGES, installed if need be; skips without npm."""
    found = shutil.which(command)
    if found is not None:
        return found
    chosen = os.environ.get("PORTAFAAS_HOME")
    home = Path(chosen) if chosen else Path.home() / ".cache" / "portafaas"
    folder = home / "npm"
    place = folder / "node_modules" / ".bin" / command
    if not place.exists():
        tool = shutil.which("npm")
        if tool is None:
            pytest.skip(f"{command} is not installed, and no npm to install it with")
        # A folder of its own that takes the name when it is whole: others may install, too.
        made = home / f"npm-{os.getpid()}"
        made.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [tool, "install", "--no-audit", "--no-fund", "--prefix", str(made), *PACKAGES],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if done.returncode:
            shutil.rmtree(made, ignore_errors=True)
            pytest.skip(f"npm cannot install {command}: {done.stderr.strip()[-200:]}")
        try:
            made.rename(folder)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
    return str(place)


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
