"""Routes for operators: health checks, metrics, shutdown status and the front page."""
