"""Exports: all results of a job as NDJSON, CSV or Parquet."""
