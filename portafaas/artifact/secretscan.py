"""Secrets in the project's own files: found by shape, reported by place, never by value (PF5010).

Shapes, from their issuers: AWS access key ids
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html, Azure Storage
https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string, Google
service-account keys https://cloud.google.com/iam/docs/keys-create-delete, GitHub
https://github.blog/engineering/behind-githubs-new-authentication-token-formats/, Slack
https://api.slack.com/authentication/token-types, Stripe https://docs.stripe.com/keys, PEM RFC 7468.
"""

from __future__ import annotations

from collections.abc import Iterator

from portafaas.errors import Diagnostic

ALLOW = b"portafaas: allow-secret"

#: A literal that every match contains, what it is, and the shape; the literals make it fast.
_SHAPES: tuple[tuple[bytes, str, bytes], ...] = (
    (b"AKIA", "an AWS access key id", rb"(?<![A-Za-z0-9])AKIA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    (b"ASIA", "an AWS access key id", rb"(?<![A-Za-z0-9])ASIA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    (b"PRIVATE KEY", "a private key", rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    (
        b'"private_key',
        "a Google service-account key",
        rb'"private_key(?:_id)?"\s*:\s*"(?:-----BEGIN|[0-9a-f]{40}")',
    ),
    (b"AccountKey=", "an Azure storage key", rb"AccountKey=[A-Za-z0-9+/]{86}=="),
    (
        b"SharedAccessKey=",
        "an Azure shared access key",
        rb"SharedAccessKey=[A-Za-z0-9+/]{42,86}={0,2}",
    ),
    (b"_live_", "a Stripe live key", rb"(?<![A-Za-z0-9])[sr]k_live_[A-Za-z0-9]{16,}"),
    (b"gh", "a GitHub token", rb"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,}"),
    (b"github_pat_", "a GitHub token", rb"github_pat_[A-Za-z0-9_]{22,}"),
    (b"xox", "a Slack token", rb"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}"),
)
#: Names that hold no secret by convention.
_SAMPLES = (".example", ".sample", ".template", ".dist")


def scan(name: str, data: bytes) -> Iterator[Diagnostic]:
    """Yield PF5010 for every line of *data* that looks like it holds a secret.

    A line with the comment ``portafaas: allow-secret`` is let through.
    """
    seen: set[int] = set()
    for literal, what, shape in _SHAPES:
        if literal not in data:
            continue
        import re

        for match in re.finditer(shape, data):
            line = data.count(b"\n", 0, match.start()) + 1
            if line in seen or ALLOW in _line_at(data, match.start()):
                continue
            seen.add(line)
            yield Diagnostic(
                "PF5010",
                f"looks like {what}",
                file=name,
                line=line,
                hint="keep it in a secret of the manifest; if it is none, add the comment "
                "'portafaas: allow-secret' to the line",
            )


def environment_file(name: str) -> Diagnostic | None:
    """Return PF5011 when *name* is a file of environment variables such as ``.env``."""
    base = name.rpartition("/")[2]
    if not (base == ".env" or base.startswith(".env.") or base.endswith(".env")):
        return None
    if base.endswith(_SAMPLES):
        return None
    return Diagnostic(
        "PF5011",
        "environment files are not shipped: they tend to hold secrets",
        file=name,
        hint="declare plain values under environment, references under secrets, and name the "
        "file in sources.exclude",
    )


def _line_at(data: bytes, at: int) -> bytes:
    start = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at)
    return data[start : end if end >= 0 else len(data)]
