"""Results as whole files: JSON lines, CSV and Parquet."""
