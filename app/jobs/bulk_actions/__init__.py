"""Bulk actions: cancel or retry many jobs at once, named by id or by a filter."""
