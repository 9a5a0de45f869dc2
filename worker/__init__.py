"""The worker: runs the jobs. The only package that imports ML libraries."""

import os

# Importing ONNX Runtime starts its telemetry, which resolves a Microsoft host name and stores a device id.
# This module is imported before every module of ours that imports ONNX Runtime, in every process.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Otherwise a model file could carry session options ("ort_config") that override ours, for example to write a
# profile into the working directory or to use any number of threads.
os.environ["ORT_LOAD_CONFIG_FROM_MODEL"] = "0"
