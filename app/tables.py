"""Every table of every domain, gathered for Alembic."""

import app.auth.tables
import app.jobs.tables  # noqa: F401  # imported for their tables
from sqlmodel import SQLModel

metadata = SQLModel.metadata
