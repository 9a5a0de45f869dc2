"""Uploads of models: received here, inspected by a job, registered when the job completes."""
