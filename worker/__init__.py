"""What does the work; the only home of ML libraries."""

import os

# Importing ONNX Runtime starts its telemetry: it looks up a host of Microsoft's and keeps a device id. Here,
# because this module is imported before every module of ours that imports ONNX Runtime, in whatever process.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Otherwise a file could bring options of its session with it ("ort_config"), which win over ours: to write a
# profile into the working directory, or to take as many threads as it likes.
os.environ["ORT_LOAD_CONFIG_FROM_MODEL"] = "0"
