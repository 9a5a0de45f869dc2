"""Every manifest is what the API of Kubernetes or of an operator knows: a misspelt field is found."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule

from tests.k8s.rendering import RENDERINGS, WITH_RAY, Manifest, named, ray_nodes, rendered

VERSIONS = ("1.33", kubernetes_validate.latest_version())
OF_OPERATORS = {
    "ScaledObject": ScaledObject,
    "TriggerAuthentication": TriggerAuthentication,
    "PodMonitor": PodMonitor,
    "PrometheusRule": PrometheusRule,
}


RAY_CLUSTER = Path(__file__).with_name("raycluster.schema.json")


def validate(manifest: Manifest, version: str) -> None:
    """Raise if a field is unknown, missing or of another type."""
    if manifest["kind"] == "RayCluster":
        jsonschema.validate(manifest, strict(json.loads(RAY_CLUSTER.read_text())))
        for nodes in ray_nodes([manifest]):
            template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": nodes["metadata"]}
            kubernetes_validate.validate(
                {**template, "template": nodes["spec"]["template"]}, version, strict=True
            )
        return
    model = OF_OPERATORS.get(manifest["kind"])
    if model is None:
        kubernetes_validate.validate(manifest, version, strict=True)
    else:
        jsonschema.validate(manifest, strict(model.model_json_schema(by_alias=True)))


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema, with no property that it does not list."""
    for value in _objects(schema):
        if "properties" in value:
            value.setdefault("additionalProperties", False)
        if str(value.get("pattern")).startswith("^(?i)"):  # as Go has it
            value["pattern"] = value["pattern"].replace("^(?i)", "(?i)^", 1)
    # The models lack this one (KEDA 2.17, `fallback.behavior`).
    for definition in schema.get("$defs", {}).values():
        if {"failureThreshold", "replicas"} == set(definition.get("properties", ())):
            definition["properties"]["behavior"] = {"enum": ["static", "currentReplicasIfHigher"]}
    return schema


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for item in value for found in _objects(item)]
    if not isinstance(value, dict):
        return []
    return [value, *(found for item in value.values() for found in _objects(item))]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("rendering", RENDERINGS)
def test_each_manifest_is_valid(rendering: str, version: str) -> None:
    for manifest in rendered(rendering):
        validate(manifest, version)


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("Deployment", "headrace-api", ("spec", "template", "spec", "containers", 0, "readinesProbe")),
        ("Deployment", "headrace-worker", ("spec", "template", "spec", "terminationGracePeriod")),
        ("NetworkPolicy", "stores", ("spec", "egres")),
        ("ScaledObject", "headrace-worker", ("spec", "maxReplicas")),
        ("ScaledObject", "headrace-worker", ("spec", "fallback", "behaviour")),
        ("TriggerAuthentication", "headrace-worker", ("spec", "secretTargetRefs")),
        ("PodMonitor", "headrace", ("spec", "podMetricsEndpoint")),
        ("PodMonitor", "headrace", ("spec", "podMetricsEndpoints", 0, "scrapeInterval")),
        ("PrometheusRule", "headrace", ("spec", "groups", 0, "rules", 0, "recording")),
        ("RayCluster", "headrace", ("spec", "authOption")),
        ("RayCluster", "headrace", ("spec", "authOptions", "secret")),
        ("RayCluster", "headrace", ("spec", "autoscalerOptions", "idleTimeout")),
        ("RayCluster", "headrace", ("spec", "headGroupSpec", "startParams")),
        ("RayCluster", "headrace", ("spec", "workerGroupSpecs", 1, "maximumReplicas")),
        (
            *("RayCluster", "headrace"),
            ("spec", "headGroupSpec", "template", "spec", "containers", 0, "environment"),
        ),
    ],
)
def test_a_misspelt_field_is_found(kind: str, name: str, path: tuple[str | int, ...]) -> None:
    manifest = named(rendered(WITH_RAY if kind == "RayCluster" else "production"), kind, name)
    where: Any = manifest
    for part in path[:-1]:
        where = where[part]
    where[path[-1]] = 1

    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(manifest, VERSIONS[0])


def test_an_unknown_kind_is_no_valid_manifest() -> None:
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        validate({"apiVersion": "example.org/v1", "kind": "Unknown", "metadata": {"name": "x"}}, VERSIONS[0])
