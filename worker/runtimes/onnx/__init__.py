"""Run ONNX models with ONNX Runtime."""
