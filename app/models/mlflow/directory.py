"""The files of an MLflow model directory beside the model itself.

The format is that of `mlflow.sklearn.save_model` with `serialization_format="skops"` and of
`mlflow.onnx.save_model`: https://mlflow.org/docs/latest/ml/model/
"""

import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.models.formats import ONNX, SKLEARN
from app.models.versions import InputColumn, RegisteredVersion, Task

MODEL_FILES: Final = {SKLEARN: "model.skops", ONNX: "model.onnx"}
"""The name of the model's file in the directory, by runtime."""

MLFLOW: Final = "mlflow>=3.15"
"""The first release that reads skops and gives it the trusted types."""

_PACKAGES: Final = {SKLEARN: ("scikit-learn", "skops", "numpy"), ONNX: (ONNX, "onnxruntime", "numpy")}
_TYPES: Final = {"number": "double", "text": "string", "category": "string"}


def files(version: RegisteredVersion, *, trusted_types: Sequence[str], is_callable: bool) -> dict[str, str]:
    """Return the content of each file by name.

    `trusted_types` are those that skops needs to load the model. Unless `is_callable`, there is no
    `python_function` flavor: the model does not take a data frame with its columns.
    """
    packages = _requirements(version)
    python = platform.python_version()
    environment = {
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": packages}],
        "name": "mlflow-env",
    }
    virtual = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    return {
        "MLmodel": _yaml(_ml_model(version, python, trusted_types, is_callable=is_callable)),
        "conda.yaml": _yaml(environment),
        "python_env.yaml": _yaml(virtual),
        "requirements.txt": "".join(f"{package}\n" for package in packages),
    }


def _ml_model(
    version: RegisteredVersion, python: str, trusted_types: Sequence[str], *, is_callable: bool
) -> dict[str, Any]:
    name = MODEL_FILES[version.runtime]
    is_sklearn = version.runtime == SKLEARN
    flavors: dict[str, Any] = {}
    if is_callable:
        flavors["python_function"] = {
            "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            "loader_module": "mlflow.sklearn" if is_sklearn else "mlflow.onnx",
            "python_version": python,
            **({"model_path": name, "predict_fn": "predict"} if is_sklearn else {"data": name}),
        }
    if is_sklearn:
        flavors["sklearn"] = {
            "code": None,
            "pickled_model": name,
            "serialization_format": "skops",
            "sklearn_version": _version_of("scikit-learn", version),
            "skops_trusted_types": list(trusted_types),
        }
    else:
        flavors[ONNX] = {
            "code": None,
            "data": name,
            "onnx_session_options": None,
            "onnx_version": _version_of(ONNX, version),
            "providers": ["CPUExecutionProvider"],
        }
    described: dict[str, Any] = {
        "flavors": flavors,
        "metadata": {"headrace_model": f"{version.name}@{version.version}", "sha256": version.file.sha256},
        "model_uuid": version.id.hex,
        "utc_time_created": f"{version.created_at:%Y-%m-%d %H:%M:%S.%f}",
    }
    if is_callable and (signature := _signature(version)) is not None:
        described["signature"] = signature
    return described


def _signature(version: RegisteredVersion) -> dict[str, Any] | None:
    """The columns with their types; None if the types of some are unknown."""
    if version.columns is None or any(column.type not in _TYPES for column in version.columns):
        return None
    output = {"type": "string" if version.task is Task.CLASSIFICATION else "double", "required": True}
    inputs = [_column(column) for column in version.columns]
    is_sklearn = version.runtime == SKLEARN
    return {
        "inputs": json.dumps(inputs),
        "outputs": json.dumps([output]) if is_sklearn and version.task is not None else None,
        "params": None,
    }


def _column(column: InputColumn) -> dict[str, Any]:
    return {"type": _TYPES[column.type], "name": column.name, "required": True}


def _requirements(version: RegisteredVersion) -> list[str]:
    pinned = []
    for package in _PACKAGES[version.runtime]:
        found = _version_of(package, version)
        pinned.append(package if found is None else f"{package}=={found}")
    return [MLFLOW, *pinned]


def _version_of(package: str, version: RegisteredVersion) -> str | None:
    versions: Mapping[str, str] = version.lineage.get("library_versions", {})
    return versions.get(package)


def _yaml(value: Mapping[str, Any]) -> str:
    """Write a document as YAML: its texts are JSON strings, which are YAML too."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any, indent: str = "") -> list[str]:
    lines: list[str] = []
    items = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for name, item in items:
        start = f"{indent}- " if name is None else f"{indent}{name}:"
        if isinstance(item, Mapping | list) and item:
            inner = _lines(item, indent + "  ")
            lines += [start + inner[0].lstrip(), *inner[1:]] if name is None else [start, *inner]
        else:
            lines.append(f"{start}{'' if name is None else ' '}{json.dumps(item)}")
    return lines
