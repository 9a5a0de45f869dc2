"""Plots of reports, as PNG and SVG."""
