"""Converts an uploaded file to typed rows, in a process separate from the API.

Parsing untrusted files takes CPU time, memory and libraries written in C++. In the process of the API, one
bad file would affect all users.
"""
