from __future__ import annotations

from kubelab.machinery import schema


def pod() -> schema.Node:
    node = schema.compiled("v1", "Pod")
    assert node is not None
    return node


def test_every_definition_compiles() -> None:
    """All kinds become nodes, also the ones that contain themselves."""
    for name in schema._file()[1].values():
        node = schema._definition_node(name)
        assert node.kind == "struct" and node.fields


def test_merge_rules_are_known_by_field() -> None:
    """Containers merge by name, ports by port and protocol, commands are replaced."""
    spec, container = schema.find(pod(), "spec"), schema.find(pod(), "spec.containers")
    assert spec is not None and container is not None
    assert schema.patch_merge_key(spec, "containers") == "name"
    assert schema.list_type(spec, "containers") == "map"
    assert schema.list_map_keys(container.element, "ports") == ("containerPort", "protocol")
    assert schema.list_type(container.element, "command") == "atomic"
    assert schema.patch_merge_key(container.element, "command") == ""


def test_types_are_named_as_go_names_them() -> None:
    """The names that JSON errors show."""
    types = {path: getattr(schema.find(pod(), path), "go_type", None) for path in (
        "spec", "spec.containers", "metadata.labels", "spec.containers.resources.limits", "spec.hostNetwork",
        "spec.containers.livenessProbe.httpGet.port")}
    assert list(types.values()) == ["v1.PodSpec", "[]v1.Container", "map[string]string",
                                    "map[string]resource.Quantity", "bool", "intstr.IntOrString"]


def test_fields_are_described() -> None:
    """Documentation is found through references and lists; what is not there has none."""
    assert schema.describe("v1", "Pod").startswith("Pod is a collection of containers")
    assert schema.describe("apps/v1", "Deployment", "metadata.name").startswith("Name must be unique")
    assert "image name" in schema.describe("v1", "Pod", "spec.containers.image")
    assert schema.describe("v1", "Pod", "spec.nope") == schema.describe("v1", "Nope") == ""


def test_unknown_kinds_have_no_schema() -> None:
    """A kind without definition is None, not an error."""
    assert schema.compiled("example.com/v1", "Widget") is None and schema.schema_for("v1", "Nope") is None
