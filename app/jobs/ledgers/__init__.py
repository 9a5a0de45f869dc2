"""Ledgers: which attempt stored which batches of a job."""
