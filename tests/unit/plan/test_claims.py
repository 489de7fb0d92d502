"""``claim-check``: what it adds to the plan, and to each target's infrastructure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portafaas.errors import PlanError
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.plan.claims import days_of_claims
from portafaas.plan.entry import function_spec
from portafaas.registry import get_adapter

MANIFEST = """\
portafaas: 1
name: shop
python: "3.12"
functions:
  place:
    handler: app:f
    trigger: {http: {method: POST, path: /orders}}
    uses: [{send: big}, {publish: news}, {send: small}]
  own:
    handler: app:f
    trigger: {http: {method: POST, path: /own}}
    uses: [{write: uploads}, {send: big}]
  work: {handler: "app:f", trigger: {queue: {name: big}}}
  mourn: {handler: "app:f", trigger: {queue: {name: graves}}}
  small: {handler: "app:f", trigger: {queue: {name: small}}}
  hear: {handler: "app:f", trigger: {topic: {name: news}}}
queues:
  big: {claim-check: uploads, dead-letter: graves, retention: 36h}
  graves: {dead-letter: true, retention: 3d}
  small: {}
topics: {news: {claim-check: kept}}
buckets: {uploads: {}, kept: {versioned: true}, plain: {}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text("def f(it, context): ...\n")
    return tmp_path


def plan_of(root: Path, target: str = "") -> BuildPlan:
    return build_plan(load_manifest(root / "portafaas.yaml"), target)


def test_senders_write_and_consumers_read(root: Path) -> None:
    plan = plan_of(root)
    found = {
        function.name: [(use.verb, use.name, use.why) for use in function.uses if use.kind == "bucket"]
        for function in plan.functions
    }
    queue, topic = "$.queues.big.claim-check", "$.topics.news.claim-check"
    assert found == {
        "place": [("write", "uploads", queue), ("write", "kept", topic)],
        "own": [("write", "uploads", "")],
        "work": [("read", "uploads", queue)],
        # What it gets are dead letters of the other queue.
        "mourn": [("read", "uploads", queue)],
        "small": [],
        "hear": [("read", "kept", topic)],
    }  # fmt: skip


def test_handlers_may_not_use_the_bucket_for_that(root: Path) -> None:
    plan = plan_of(root)
    place = function_spec(plan, plan.function("place"))
    assert place["uses"]["bucket"] == {"uploads": {"verbs": []}, "kept": {"verbs": []}}
    assert place["uses"]["queue"]["big"]["claims"] == "uploads"
    assert "claims" not in place["uses"]["queue"]["small"]
    assert function_spec(plan, plan.function("own"))["uses"]["bucket"]["uploads"] == {"verbs": ["write"]}
    triggers = {f.name: function_spec(plan, f)["trigger"].get("claims") for f in plan.functions}
    assert triggers == {
        "place": None, "own": None, "work": True, "mourn": True, "small": None, "hear": True,
    }  # fmt: skip


def test_objects_stay_for_as_long_as_anything_leads_to_them(root: Path) -> None:
    plan = plan_of(root)
    # Two days in big, three in graves, fourteen in its dead letters, and one to be sure.
    assert days_of_claims(plan, "uploads") == 2 + 3 + 14 + 1
    assert days_of_claims(plan, "kept") == 7 + 14 + 1
    assert days_of_claims(plan, "plain") == 0


def test_the_bucket_must_be_declared(root: Path) -> None:
    file = root / "portafaas.yaml"
    file.write_text(MANIFEST.replace("claim-check: uploads", "claim-check: upload"))
    with pytest.raises(PlanError) as caught:
        plan_of(root)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.path, problem.line) == ("PF2002", "$.queues.big.claim-check", 18)
    assert problem.hint == "did you mean 'uploads'?"


def documents(root: Path, target: str) -> tuple[dict[str, Any], list[Any]]:
    made = get_adapter(target).infrastructure(plan_of(root, target))
    (document,) = [d for name, d in made.documents.items() if isinstance(d, dict)][:1]
    return json.loads(json.dumps(document)), list(made.permissions)


@pytest.mark.parametrize("target", ["aws", "azure", "gcp"])
def test_permissions_follow_on_every_target(root: Path, target: str) -> None:
    _, permissions = documents(root, target)
    found = {(p.function, p.why) for p in permissions if p.why.endswith(".claim-check")}
    queue, topic = "$.queues.big.claim-check", "$.topics.news.claim-check"
    assert found == {("place", queue), ("place", topic), ("work", queue), ("mourn", queue), ("hear", topic)}


def test_objects_expire_on_aws(root: Path) -> None:
    document, _ = documents(root, "aws")
    rule = {
        "Id": "claims", "Status": "Enabled", "Prefix": "pf-claims/", "ExpirationInDays": 20,
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }  # fmt: skip
    buckets = {
        name: facts["Properties"].get("LifecycleConfiguration", {}).get("Rules", [])
        for name, facts in document["Resources"].items() if facts["Type"] == "AWS::S3::Bucket"
    }  # fmt: skip
    assert buckets["UploadsBucket"] == [rule]
    assert buckets["KeptBucket"] == [
        {**rule, "ExpirationInDays": 22, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
    ]
    assert not any(r["Id"] == "claims" for r in buckets["PlainBucket"])


def test_objects_expire_on_azure(root: Path) -> None:
    document, _ = documents(root, "azure")
    resources = document["resources"]
    found = resources.values() if isinstance(resources, dict) else resources
    rules = [
        rule
        for resource in found
        if resource["type"] == "Microsoft.Storage/storageAccounts/managementPolicies"
        for rule in resource["properties"]["policy"]["rules"]
    ]
    shown = sorted(
        (r["definition"]["filters"]["prefixMatch"], sorted(r["definition"]["actions"])) for r in rules
    )
    assert shown == [(["kept/pf-claims/"], ["baseBlob", "version"]), (["uploads/pf-claims/"], ["baseBlob"])]


def test_objects_expire_on_google_cloud(root: Path) -> None:
    document, _ = documents(root, "gcp")
    buckets = document["resource"]["google_storage_bucket"]
    rules = {name: facts.get("lifecycle_rule", []) for name, facts in buckets.items()}
    one = {"action": {"type": "Delete"}, "condition": {"age": 20, "matches_prefix": ["pf-claims/"]}}
    assert rules["uploads"] == [one] and len(rules["kept"]) == 2 and rules["plain"] == []
