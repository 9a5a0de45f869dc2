"""Every table of every domain, gathered for Alembic."""

from sqlmodel import SQLModel

import app.auth.tables
import app.jobs.tables  # noqa: F401  # imported for their tables

metadata = SQLModel.metadata
