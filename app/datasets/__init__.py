"""Datasets: uploaded files of rows, converted to typed Parquet, stored, and read by range."""
