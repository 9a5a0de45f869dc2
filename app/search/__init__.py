"""Search over jobs, models, datasets and schedules."""
