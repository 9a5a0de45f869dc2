"""Checks that each operator of a model has the inputs that it needs.

ONNX Runtime follows a pointer to an input that a node leaves out. `onnx.checker` looks at single inputs, but
only counts those of an operator that takes any number of them.
"""

from collections.abc import Mapping

import onnx
from onnx import defs

from worker.runtimes.runtime import BrokenModel


def ensure_inputs(node: onnx.NodeProto, versions: Mapping[str, int]) -> None:
    """Only optional inputs are left out. `versions` are those of the domains. Raises BrokenModel."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        schema = defs.get_schema(node.op_type, versions.get(domain, 1), domain)
    except defs.SchemaError:
        raise BrokenModel(f"the operator {node.op_type[:100]} is unknown in its version") from None
    for attribute in node.attribute:
        # ONNX Runtime counts up to it before it compares.
        if attribute.name == "num_scan_inputs" and not 0 < attribute.i <= len(node.input):
            raise BrokenModel(f"a node {node.op_type} scans {attribute.i} of its {len(node.input)} inputs")
    if not schema.inputs:
        return
    for place, name in enumerate(node.input):
        formal = schema.inputs[min(place, len(schema.inputs) - 1)]
        if not name and formal.option != defs.OpSchema.FormalParameterOption.Optional:
            raise BrokenModel(f"a node {node.op_type} leaves out its input {formal.name}")
