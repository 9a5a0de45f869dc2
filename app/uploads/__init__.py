"""Receives uploaded files: reads the request body, checks it and writes it to the local disk."""
