"""One suite for each extension point: what every kind, runtime, algorithm and completion must do.

The suites cover the built-in ones, the examples, and the plugins that PLUGINS names:

    PLUGINS=my_plugin .venv/bin/python -m pytest tests/conformance

A plugin says in its module `conformance` what to try: `KIND_CASES`, `RUNTIME_CASES` and `COMPLETION_CASES`,
with values of the classes in `tests.conformance.cases`. Algorithms need no case; `ALGORITHM_PARAMS` can make
them quick.
"""
