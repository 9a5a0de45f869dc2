"""Runs ONNX models with ONNX Runtime."""
