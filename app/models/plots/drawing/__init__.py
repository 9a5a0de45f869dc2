"""Draws one plot with matplotlib, in a process separate from the API.

matplotlib takes memory and seconds of CPU time, and draws what users named and measured.
"""
