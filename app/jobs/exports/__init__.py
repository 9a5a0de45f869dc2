"""Results of a job: page by page, or all of them as NDJSON, CSV or Parquet."""
