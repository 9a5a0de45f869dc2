"""The steps of a preprocess job at work: operations on chunks of rows, and what keeps their state."""
