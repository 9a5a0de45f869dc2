"""Tables that no domain owns."""

from sqlalchemy import CheckConstraint, Text, text
from sqlmodel import Field, SQLModel

import app.core.schema  # noqa: F401  # names of constraints


class SchemaFloor(SQLModel, table=True):
    """The oldest revision whose code works on this schema; alembic/env.py writes the one row."""

    __tablename__ = "schema_floor"
    __table_args__ = (CheckConstraint("is_current", name="one_row"),)

    is_current: bool = Field(
        default=True, primary_key=True, sa_column_kwargs={"server_default": text("true")}
    )
    revision: str = Field(sa_type=Text)
