"""What does the work; the only home of ML libraries."""

import os

# Importing ONNX Runtime starts its telemetry: it looks up a host of Microsoft's and keeps a device id. Here,
# because this module is imported before every module of ours that imports ONNX Runtime, in whatever process.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
