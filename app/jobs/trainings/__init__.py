"""What comes of training jobs: versions of models."""
