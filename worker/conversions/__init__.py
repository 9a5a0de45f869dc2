"""Conversion of scikit-learn models to ONNX, and the comparison of the two."""
