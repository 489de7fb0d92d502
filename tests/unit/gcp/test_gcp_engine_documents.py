"""What engines are handed, and what their plans are read as: no server, no Terraform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portafaas.deployment import Change, DeploymentError, Drift
from portafaas.plan import BuildPlan
from portafaas_gcp.adapter import ADAPTER
from portafaas_gcp.deployment import changes, documents, failures
from tests.unit.gcp import gcp_deployment_cases as cases


def _given(what: Any, deployed: dict[str, str]) -> dict[str, str]:
    return documents.inputs(what, "p", "r", "b", deployed)


def test_every_variable_of_every_document_gets_a_value(
    everything: BuildPlan, tmp_path: Path
) -> None:
    release = cases.release(tmp_path, everything)
    keys = {"HTTP_KEYS": "k=1"}
    given = _given(release, keys)
    declared = documents.variables(release.documents)
    needed = {name for name, body in declared.items() if "default" not in body}
    assert needed <= given.keys() <= declared.keys()
    assert "who_calls__invokers" not in given and "log_retention_days" not in given
    # The environment's is newer than what is deployed.
    assert _given(cases.release(tmp_path), {"HTTP_KEYS": "old"})["env_HTTP_KEYS"] == cases.DIGEST
    assert _given(cases.release(tmp_path, environ={}), keys)["env_HTTP_KEYS"] == "k=1"


def test_variables_that_nobody_knows(tmp_path: Path) -> None:
    release = cases.release(tmp_path, environ={})
    document = json.loads(json.dumps(dict(release.documents)))
    document["shop.tf.json"]["variable"]["colour"] = {"type": "string"}
    other = cases.changed(release, documents=document)  # type: ignore[arg-type]
    with pytest.raises(DeploymentError) as caught:
        _given(other, {})
    assert sorted(item.code for item in caught.value.diagnostics) == ["PF8003", "PF8013"]


def test_a_bundle_is_the_same_for_the_same_documents(tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    one = documents.bundle(release.documents)
    assert documents.bundle(dict(reversed(list(release.documents.items())))) == one
    assert documents.unbundle(one) == release.documents
    # Documents that are not Terraform's are not handed to it.
    assert documents.terraform({"a.tf.json": {}, "notes.json": {}}) == {"a.tf.json": {}}


@pytest.mark.parametrize("content", [None, b"", b"not a zip"])
def test_a_bundle_that_is_gone(content: bytes | None) -> None:
    with pytest.raises(DeploymentError) as caught:
        documents.unpacked(content, "gs://b/o", "do this")
    [item] = caught.value.diagnostics
    assert item.code == "PF8006" and item.hint == "do this"


@pytest.mark.parametrize("release", [False, True])
def test_what_is_retained_is_whole(everything: BuildPlan, release: bool) -> None:
    emitted = ADAPTER.infrastructure(everything).documents
    lean = documents.retained({**emitted, documents.OURS: {"output": {"x": {}}}}, release)
    body = lean["shop.tf.json"]
    assert lean[documents.OURS]["output"].keys() == {documents.KEPT}
    kinds = {kind for kind, _, _ in documents.resources(lean)}
    assert kinds == {
        "google_cloud_tasks_queue", "google_firestore_database", "google_pubsub_subscription",
        "google_pubsub_topic", "google_secret_manager_secret", "google_storage_bucket",
    }  # fmt: skip
    # Nothing refers to what is not there, and nothing is there that nothing refers to.
    text = json.dumps(body)
    there = {f"{kind}.{name}" for kind, name, _ in documents.resources(lean)}
    for address in documents._ADDRESS.findall(text):
        assert address in there or address.startswith("data."), address
    for kind, prefix in (("variable", "var"), ("locals", "local")):
        assert body.get(kind), kind
        for name in body[kind]:
            assert f"{prefix}.{name}" in text
    assert "output" not in body and "data" not in body
    # Twice is once: what failed can be repeated.
    assert documents.protected(lean).keys() == documents.protected(emitted).keys()
    assert documents.retained(lean, release) == lean
    assert documents.retained(documents.retained(emitted, not release), release) == lean
    for kind, _, content in documents.resources(lean):
        assert content["lifecycle"] == {"prevent_destroy": not release}
        if kind == "google_storage_bucket":
            assert content["force_destroy"] is release
        if kind == "google_firestore_database":
            assert content["deletion_policy"] == ("DELETE" if release else "ABANDON")
            state = "DELETE_PROTECTION_" + ("DISABLED" if release else "ENABLED")
            assert content["delete_protection_state"] == state


def test_data_sources_stay_when_they_are_needed() -> None:
    document = {
        "data": {"google_project": {"project": {"project_id": "${var.project}"}, "other": {}}},
        "variable": {"project": {}, "region": {}},
        "locals": {"a": "${local.b}", "b": "${data.google_project.project.number}", "c": "1"},
        "resource": {"google_storage_bucket": {"b": {
            "name": "${local.a}", "lifecycle": {"prevent_destroy": True}}}},
    }  # fmt: skip
    lean = documents.retained({"x.tf.json": document}, False)["x.tf.json"]
    assert lean["data"] == {"google_project": {"project": {"project_id": "${var.project}"}}}
    assert lean["locals"].keys() == {"a", "b"} and lean["variable"].keys() == {"project"}


def _item(kind: str, actions: list[str], before: Any, after: Any, **more: Any) -> dict[str, Any]:
    change = {"actions": actions, "before": before, "after": after, **more}
    return {"address": f"{kind}.a", "type": kind, "mode": "managed", "change": change}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (_item("google_x", ["create"], None, {}), Change("add", "google_x.a", "google_x")),
        (_item("google_x", ["delete"], {}, None), Change("remove", "google_x.a", "google_x")),
        (_item("google_x", ["forget"], {}, None), Change("keep", "google_x.a", "google_x")),
        (_item("google_x", ["no-op"], {}, {}), None),
        (_item("google_x", ["read"], {}, {}), None),
        (_item("google_x", ["no-op"], {}, {}, importing={"id": "i"}),
         Change("change", "google_x.a", "google_x", "taken over as it is")),
        (_item("google_x", ["delete", "create"], {"a": 1, "b": 1}, {"a": 2, "b": 2},
               replace_paths=[["a"]]), Change("replace", "google_x.a", "google_x", "a")),
        (_item("google_x", ["create", "delete"], {"a": 1}, {"a": 2}),
         Change("replace", "google_x.a", "google_x", "a")),
        (_item("google_x", ["update"], {"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 2, "c": 2}]}),
         Change("change", "google_x.a", "google_x", "a.b")),
        (_item("google_x", ["update"], {"a": 1, "t": "old"}, {"a": 2},
               after_unknown={"t": True}), Change("change", "google_x.a", "google_x", "a, t")),
        (_item("google_x", ["update"], {"a": None}, {"a": ""}), Change("change", "google_x.a",
                                                                       "google_x")),
        (_item("google_project_iam_member", ["create"], None, {}),
         Change("add", "google_project_iam_member.a", "google_project_iam_member", "", True)),
        (_item("google_service_account", ["delete"], {}, None),
         Change("remove", "google_service_account.a", "google_service_account", "", True)),
        (_item("google_x", ["update"], {"c": [{"ingress_settings": "A"}]},
               {"c": [{"ingress_settings": "B"}]}),
         Change("change", "google_x.a", "google_x", "c.ingress_settings", True)),
        (_item("google_x", ["update"], {"env": {"K": "old-secret"}}, {"env": {"K": "new-secret"}}),
         Change("change", "google_x.a", "google_x", "env.K", True)),
        (_item("google_x", ["update"], {"env": {"L": "old"}}, {"env": {"L": "new"}}),
         Change("change", "google_x.a", "google_x", "env.L")),
        (_item("terraform_data", ["create"], None, {}), None),
    ],
)  # fmt: skip
def test_changes(item: dict[str, Any], expected: Change | None) -> None:
    found = changes.changes({"resource_changes": [item]}, ["K"])
    assert found == (() if expected is None else (expected,))
    assert "secret" not in repr(found)


def test_changes_are_in_a_stable_order() -> None:
    items = [{**_item("google_x", ["create"], None, {}), "address": f"google_x.{n}"} for n in "cab"]
    found = changes.changes({"resource_changes": items})
    assert [change.resource for change in found] == ["google_x.a", "google_x.b", "google_x.c"]
    assert changes.changes({}) == () and changes.drift({}) == ()
    data = {**items[0], "mode": "data"}
    assert changes.changes({"resource_changes": [data]}) == ()


def test_a_first_deployment_makes_no_empty_lists(everything: BuildPlan) -> None:
    found = changes.first(ADAPTER.infrastructure(everything).documents)
    names = [change.resource for change in found]
    assert names == sorted(names)
    assert "google_cloudfunctions2_function.who_calls" in names
    assert "google_cloud_run_service_iam_member.who_calls" not in names


def _drift(before: Any, after: Any, **more: Any) -> tuple[Drift, ...]:
    item = _item("google_x", ["update"], before, after, **more)
    said = {"a": {"constant_value": 1}, "env": {}, "s": {}, "c": [{"d": {"references": ["var.x"]}}]}
    said["env"] = {"constant_value": {}}
    said["s"] = {"references": []}
    root = {"resources": [{"address": "google_x.a", "expressions": said}]}
    return changes.drift({"resource_drift": [item], "configuration": {"root_module": root}})


def test_drift() -> None:
    assert _drift({"a": 1, "z": 1}, {"a": 2, "z": 2}) == (
        Drift("google_x.a", "google_x", "changed", ("a: 1 expected, 2 found",)),
    )
    assert _drift({"z": 1}, {"z": 2}) == (), "the document says nothing of it"
    assert _drift({"c": [{"d": 1, "e": 1}]}, {"c": [{"d": None, "e": 2}]})[0].detail == (
        "c.d: 1 expected, nothing found",
    )
    assert _drift({"s": "old"}, {"s": "new"}, before_sensitive={"s": True})[0].detail == ("s",)
    assert _drift({"s": "old"}, {"s": "new"}, after_sensitive={"s": True})[0].detail == ("s",)
    whole = _drift({"s": {"k": "old"}}, {"s": None}, before_sensitive={"s": {"k": True}})
    assert whole[0].detail == ("s",), "a value that is shown whole shows its parts"
    item = {"service": [{"environment_variables": {"A": "x"}}]}
    found = {"service": [{"environment_variables": {"A": "a password"}}]}
    drifted = changes.drift({"resource_drift": [_item("google_x", ["update"], item, found)]})
    assert drifted[0].detail == ("service.environment_variables.A",)
    [cut] = _drift({"a": "x" * 200}, {"a": ""})[0].detail
    assert len(cut) < 100


def test_names_of_what_is_kept() -> None:
    given = {"project": "p"}
    assert documents.physical_name({"name": "${var.project}-${var.other}"}, given) == (
        "p-${var.other}"
    )
    assert documents.physical_name({"secret_id": "s"}, given) == "s"
    assert documents.physical_name({}, given) == ""


def test_reasons() -> None:
    def code(text: str, address: str = "a.b", status: int = 0) -> str:
        return failures.of_resource(address, text, status).code

    assert code("anything", status=409) == code("Error 409: x") == "PF8008"
    assert code("anything", status=429) == code("x, rateLimitExceeded") == "PF8009"
    assert code("Error acquiring the state lock", "") == "PF8005"
    assert code("the table is locked") == "PF8007", "a resource's own trouble"
    assert failures.scrub("ab abc", ["ab", "abc", ""]) == "(not shown) (not shown)"


def test_answers_that_are_not_json() -> None:
    error = failures.refused("GET x", 502, b"<html>bad gateway</html>", "p")
    assert [item.code for item in error.diagnostics] == ["PF8012"]
    assert "bad gateway" in str(error)
    assert failures.refused("GET x", 404, b"[]", "p").diagnostics[0].code == "PF8007"
    assert "HTTP 400" in str(failures.refused("GET x", 400, b'{"error": "text"}', "p"))
