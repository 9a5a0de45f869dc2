"""MLflow model directories: written for a version, read from an upload. Does not need the package mlflow."""
