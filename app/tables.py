"""Metadata of all tables, for Alembic."""

from sqlmodel import SQLModel

import app.analytics.tables
import app.audit.tables
import app.auth.tables
import app.core.tables
import app.datasets.tables
import app.jobs.result_summaries.tables
import app.jobs.tables
import app.maintenance.tables
import app.models.reports.tables
import app.models.tables
import app.notifications.tables
import app.quotas.tables
import app.schedules.tables
import app.streams.tables  # noqa: F401  # imported for their tables

metadata = SQLModel.metadata
