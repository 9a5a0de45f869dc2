"""The figures of docs/performance.md, each by one command: `python -m bench.submit`, all: `python -m bench`.

Ours and the reference run side by side: the same machine, the same servers, the same client, and their rounds
take turns, so that whatever else slows the machine down slows both. Nothing in here is a test.
"""
