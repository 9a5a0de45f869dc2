"""Files that users may bring: models of several frameworks, and what only looks like one."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge

FLOWERS, KINDS = load_iris(return_X_y=True)
FLOWERS = FLOWERS.astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])[KINDS]


def classifier() -> Any:
    """A fitted classifier of flowers."""
    return LogisticRegression(max_iter=500).fit(FLOWERS, NAMES)


def regressor() -> Any:
    """A fitted regressor."""
    return Ridge().fit(FLOWERS, KINDS)


def as_skops(model: Any) -> bytes:
    """The model as skops writes it."""
    dumped: bytes = skops.io.dumps(model)
    return dumped


def as_onnx(model: Any, **options: Any) -> bytes:
    """The model as skl2onnx converts it."""
    converted = to_onnx(model, FLOWERS[:1], options={id(model): options} if options else None)
    written: bytes = converted.SerializeToString()
    return written


def graph(
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    *,
    initializers: list[Any] | None = None,
    domain: str = "",
    metadata: dict[str, Any] | None = None,
) -> bytes:
    """An ONNX model made of these."""
    opsets = [helper.make_opsetid("", 21)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    made = helper.make_model(
        helper.make_graph(nodes, "graph", inputs, outputs, initializers or []),
        opset_imports=opsets,
        ir_version=10,
    )
    helper.set_model_props(made, {name: json.dumps(value) for name, value in (metadata or {}).items()})
    written: bytes = made.SerializeToString()
    return written


def floats(name: str, *dims: int | str) -> Any:
    """A tensor of floats that goes in or comes out."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def with_external_data(location: str) -> bytes:
    """A model one of whose tensors is said to be in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [floats("x", "n", 4)],
        [floats("y", "n", 4)],
        initializers=[tensor],
    )


def with_hidden_external_data(location: str) -> bytes:
    """The same, the tensor being an attribute of a node in a branch of another."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=tensor)], "branch", [], [floats("c", 4)]
    )
    condition = helper.make_tensor("condition", TensorProto.BOOL, [], [True])
    return graph(
        [
            helper.make_node("If", ["condition"], ["b"], then_branch=branch, else_branch=branch),
            helper.make_node("Add", ["x", "b"], ["y"]),
        ],
        [floats("x", "n", 4)],
        [floats("y", "n", 4)],
        initializers=[condition],
    )


def with_custom_domain(domain: str = "com.example") -> bytes:
    """A model with an operator that is not of the specification."""
    return graph(
        [helper.make_node("Launch", ["x"], ["y"], domain=domain)],
        [floats("x", "n", 4)],
        [floats("y", "n", 4)],
        domain=domain,
    )


def with_functions() -> bytes:
    """A model with functions that call each other twice, thirty deep: inlined, a billion nodes."""
    opset = helper.make_opsetid("", 21)
    local = helper.make_opsetid("local", 1)
    functions = [
        helper.make_function("local", "f0", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], [opset])
    ]
    for level in range(1, 31):
        calls = [
            helper.make_node(f"f{level - 1}", ["a"], ["t"], domain="local"),
            helper.make_node(f"f{level - 1}", ["t"], ["b"], domain="local"),
        ]
        functions.append(helper.make_function("local", f"f{level}", ["a"], ["b"], calls, [opset, local]))
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node("f30", ["x"], ["y"], domain="local")],
            "graph",
            [floats("x", "n", 4)],
            [floats("y", "n", 4)],
        ),
        functions=functions,
        opset_imports=[opset, local],
        ir_version=10,
    )
    written: bytes = made.SerializeToString()
    return written


def doubling() -> bytes:
    """A model that doubles images of one channel, two by three."""
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    return graph(
        [helper.make_node("Mul", ["image", "two"], ["doubled"])],
        [floats("image", "n", 1, 2, 3)],
        [floats("doubled", "n", 1, 2, 3)],
        initializers=[two],
    )


def skops_of_type(module: str, name: str) -> bytes:
    """A skops file that asks for some class, made by hand: skops itself would not write most of them."""
    keys = {
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "content": [],
        "__id__": 3,
    }
    state = {
        "__class__": "dict",
        "__module__": "builtins",
        "__loader__": "DictNode",
        "content": {},
        "key_types": keys,
        "__id__": 2,
    }
    schema = {
        "__class__": name,
        "__module__": module,
        "__loader__": "ObjectNode",
        "content": state,
        "__id__": 1,
        "protocol": 2,
        "_skops_version": "0.16.0",
    }
    return zipped({"schema.json": json.dumps(schema).encode()})


def skops_of_function(module: str, name: str) -> bytes:
    """A skops file that is a function."""
    schema = {
        "__class__": name,
        "__module__": module,
        "__loader__": "FunctionNode",
        "content": {"function": name, "module_path": module},
        "__id__": 1,
        "protocol": 2,
        "_skops_version": "0.16.0",
    }
    return zipped({"schema.json": json.dumps(schema).encode()})


def zipped(members: dict[str, bytes], *, compress: bool = True) -> bytes:
    """A zip archive of these members."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def bomb() -> bytes:
    """A skops file of a few hundred kilobytes that inflates to 200 MB."""
    content = zipped({"schema.json": b"{}", "0.npy": bytes(200_000_000)})
    assert len(content) < 1_000_000
    return content


def written(folder: Path, content: bytes) -> Path:
    """The content as a file."""
    path = folder / "model"
    path.write_bytes(content)
    return path
