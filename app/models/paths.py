"""Parameters of the routes below a model."""

from typing import Annotated

from fastapi import Path, Query

from app.auth import usernames
from app.http.body import CleanStr

Owner = Annotated[
    CleanStr | None,
    Query(
        min_length=1,
        max_length=usernames.MAX_LENGTH_AS_TYPED,
        description="Owner of the model, for a public model of another user. Default: you.",
    ),
]
Number = Annotated[int, Path(ge=1, lt=2**31, description="Version number.")]
