"""Errors of preprocess jobs."""

from app.core.errors import Unprocessable


class BadStep(Unprocessable):
    """Step {step} ({name}): `{field}` does not fit the rows that reach it: {reason}."""

    code = "bad_step"
    title = "Bad step"
