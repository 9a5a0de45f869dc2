"""The input rows of a job, page by page."""
