"""Check that the nodes of an ONNX model have all required inputs.

ONNX Runtime dereferences a null pointer for a required input that a node leaves out. `onnx.checker` misses
this for variadic operators, of which it only counts the inputs.
"""

from collections.abc import Mapping

import onnx
from onnx import defs

from worker.runtimes.runtime import BrokenModel


def check_inputs(node: onnx.NodeProto, versions: Mapping[str, int]) -> None:
    """Raise BrokenModel if a node lacks a required input. `versions` are the opset versions by domain."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        schema = defs.get_schema(node.op_type, versions.get(domain, 1), domain)
    except defs.SchemaError:
        raise BrokenModel(f"its opset has no operator {node.op_type[:100]}") from None
    for attribute in node.attribute:
        # ONNX Runtime loops up to this number before it validates it.
        if attribute.name == "num_scan_inputs" and not 0 < attribute.i <= len(node.input):
            raise BrokenModel(
                f"a node {node.op_type} has {len(node.input)} inputs but num_scan_inputs is {attribute.i}"
            )
    if not schema.inputs:
        return
    for index, name in enumerate(node.input):
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]
        if not name and formal.option != defs.OpSchema.FormalParameterOption.Optional:
            raise BrokenModel(f"a node {node.op_type} lacks its required input {formal.name}")
