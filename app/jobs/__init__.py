"""Jobs: their life cycle from submission to results."""
