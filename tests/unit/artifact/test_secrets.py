"""Secrets in the project's own files are refused by place, never shown."""

from __future__ import annotations

import pytest

from portafaas.artifact.secretscan import environment_file, scan

# Put together at run time: no scanner should find this file.
AWS = "AKIA" + "QWERTYUIOPASDF23"
SECRETS = [
    AWS,
    "ASIA" + "QWERTYUIOPASDF23",
    "-----BEGIN " + "RSA PRIVATE KEY-----",
    "-----BEGIN " + "PRIVATE KEY-----",
    "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----",
    '"private' + '_key_id": "' + "0123456789abcdef" * 2 + '01234567"',
    "Default" + "EndpointsProtocol=https;AccountName=a;Account" + "Key=" + "Ab1+" * 21 + "ab==",
    "Endpoint=sb://x/;Shared" + "AccessKey=" + "Ab1/" * 10 + "abc=",
    "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "gh" + "p_" + "a1B2" * 9,
    "github" + "_pat_" + "11ABCDEFG0" * 3,
    "xox" + "b-123456789012-abcdefghij",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_found_with_its_line_and_without_its_value(secret: str) -> None:
    (problem,) = scan("app/x.py", f"a = 1\n\nkey = '{secret}'\n".encode())
    assert (problem.code, problem.file, problem.line) == ("PF5010", "app/x.py", 3)
    assert secret not in str(problem)


@pytest.mark.parametrize("secret", SECRETS)
def test_let_through_by_a_comment_on_its_line(secret: str) -> None:
    text = f"key = '{secret}'  # portafaas: allow-secret\n"
    assert list(scan("app/x.py", text.encode())) == []
    assert len(list(scan("app/x.py", f"# portafaas: allow-secret\n{text[:-25]}".encode()))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "AKIA",
        "akia" + "qwertyuiopasdf23",
        "MAKIA" + "QWERTYUIOPASDF23",
        AWS + "MORE",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "AccountKey=$KEY",
        "sk_live_$KEY",
        "sk_" + "test_4eC39HqLyjWDarjtT1zdp7dc",
        "the ghp_ prefix",
        '"private_key": key.read()',
    ],
)
def test_what_is_no_secret_passes(text: str) -> None:
    assert list(scan("x.py", text.encode())) == []


def test_every_line_once() -> None:
    text = f"{AWS} {AWS}\nfine\n{AWS} sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc\n"
    assert sorted(problem.line or 0 for problem in scan("x.py", text.encode())) == [1, 3]


@pytest.mark.parametrize("name", [".env", "conf/.env", ".env.local", "prod.env"])
def test_environment_files_are_refused(name: str) -> None:
    problem = environment_file(name)
    assert problem is not None and problem.code == "PF5011"


@pytest.mark.parametrize("name", [".env.example", "prod.env.sample", "environment.py", "env"])
def test_samples_and_others_are_not(name: str) -> None:
    assert environment_file(name) is None
