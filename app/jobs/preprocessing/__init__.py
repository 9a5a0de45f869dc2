"""Preprocessing: the steps that make new datasets of a dataset."""
