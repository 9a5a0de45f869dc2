"""The table of contents of the HTTP API."""

from typing import Final

from fastapi import APIRouter

from app.auth.routes import router as auth
from app.jobs.routes import router as jobs
from app.operations.routes import router as operations
from app.streams.routes import router as streams

ROUTERS: Final[tuple[APIRouter, ...]] = (auth, jobs, streams, operations)
