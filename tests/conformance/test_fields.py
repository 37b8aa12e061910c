"""Fields that nobody knows, or that stand twice."""

from __future__ import annotations

import json

from tests.conformance.conftest import APPLY, MERGE, STRATEGIC, Api, Obj
from tests.conformance.objects import DEPLOYMENT, crd, established


def test_unknown_and_repeated_fields_of_a_typed_object(api: Api, ns: str) -> None:
    """Strict names each of them, of the metadata too; apply names them as the schema does."""
    path = f"/apis/apps/v1/namespaces/{ns}/deployments"
    text = json.dumps(DEPLOYMENT).replace('"replicas": 0', '"replicas": 0, "replicas": 1, "unknown1": 1, "unknown1": 2')
    refused = api.post(f"{path}?fieldValidation=Strict", text)
    assert refused.status == 400 and (
        'strict decoding error: unknown field "spec.unknown1", duplicate field "spec.replicas"'
    ) in refused.message.replace(
        'duplicate field "spec.replicas", unknown field "spec.unknown1"',
        'unknown field "spec.unknown1", duplicate field "spec.replicas"',
    ), refused.message
    body = json.loads(json.dumps(DEPLOYMENT))
    body["metadata"]["unknownMeta"] = body["spec"]["template"]["metadata"]["unknownSub"] = "foo"
    applied = api.patch(f"{path}/d?fieldManager=m&fieldValidation=Strict", json.dumps(body), APPLY)
    assert applied.status >= 400
    assert ".metadata.unknownMeta: field not declared in schema" in applied.message
    assert ".spec.template.metadata.unknownSub: field not declared in schema" in applied.message
    for media in (MERGE, STRATEGIC):
        api.post(path, DEPLOYMENT)
        patched = api.patch(f"{path}/d?fieldValidation=Strict", {"spec": {"unknown1": 1}}, media)
        assert patched.status in (400, 422) and 'unknown field "spec.unknown1"' in patched.message, patched


PRESERVING: Obj = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string"}}}},
                }
            },
        }
    },
}


def test_unknown_and_repeated_fields_of_a_custom_object(api: Api, ns: str) -> None:
    """A schema that keeps unknown fields keeps them, yet refuses repeated ones and unknown metadata, also embedded."""
    path = established(api, crd("noxus", PRESERVING)) + f"/namespaces/{ns}/noxus"
    head = {"apiVersion": "story.example.com/v1", "kind": "Noxu", "metadata": {"name": "n"}}
    made = api.patch(
        f"{path}/n?fieldManager=m&fieldValidation=Strict",
        json.dumps({**head, "spec": {"unknown": 1, "cronSpec": "* * * * */5"}}),
        APPLY,
    )
    assert made.status == 201 and made.body["spec"]["unknown"] == 1, made
    text = json.dumps({**head, "spec": {"a": 1}}).replace('"a": 1', '"a": 1, "a": 2')
    repeated = api.patch(f"{path}/n?fieldManager=m&fieldValidation=Strict", text, APPLY)
    assert repeated.status in (400, 422) and 'key "a" already set in map' in repeated.message, repeated
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "unknownSub": "foo"}}
    body = {**head, "metadata": {"name": "n", "unknownMeta": "bar"}, "spec": {"template": template}}
    for answer in (
        api.patch(f"{path}/n?fieldManager=m&fieldValidation=Strict", json.dumps(body), APPLY),
        api.post(f"{path}?fieldValidation=Strict", {**body, "metadata": {**body["metadata"], "name": "o"}}),
    ):
        assert answer.status >= 400
        if "unknown field" in answer.message:
            assert 'unknown field "metadata.unknownMeta"' in answer.message
            assert 'unknown field "spec.template.metadata.unknownSub"' in answer.message
        else:
            assert ".metadata.unknownMeta: field not declared in schema" in answer.message
            assert ".spec.template.metadata.unknownSub: field not declared in schema" in answer.message
