"""Short processes that are forked from a server which has imported their code once.

A new interpreter takes half a second of processor time to import pyarrow; a fork takes some milliseconds. The
server reads nothing that users send, so each process starts without any data but its own task.
"""
