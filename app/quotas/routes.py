"""Routes of quotas."""

from fastapi import APIRouter

from app.auth.deps import AccountReader
from app.http.deps import DatabaseDep, SettingsDep
from app.quotas import queries
from app.quotas.schemas import StorageView

router = APIRouter(tags=["users"])


@router.get("/quota", operation_id="getQuota", summary="Get your storage quota", response_model=StorageView)
async def get_quota(user: AccountReader, database: DatabaseDep, settings: SettingsDep) -> StorageView:
    """Returns the bytes that you store: datasets, models, and payloads, results and checkpoints of jobs."""
    async with database.connection() as connection:
        used = await queries.used_bytes(connection, user.id)
    return StorageView(used_bytes=used, limit_bytes=settings.max_user_bytes or None)
