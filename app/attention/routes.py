"""The route of attention."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import APIRouter, Response

from app.analytics.deps import ScopeQuery, ThisProcessDep
from app.analytics.ranges import OwnerScope
from app.attention import queries, system
from app.attention.queries import Finding
from app.attention.schemas import AttentionCode, AttentionItem, AttentionList, Severity
from app.auth.deps import JobsReader
from app.auth.permissions import Permission
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import views

_BAD: Final = frozenset(
    {
        AttentionCode.DEAD_LETTERS,
        AttentionCode.QUEUE_WITHOUT_WORKER,
        AttentionCode.STORAGE_FULL,
        AttentionCode.SCHEDULE_FAILING,
        AttentionCode.DELIVERY_FAILING,
    }
)
_ORDER: Final = {code: place for place, code in enumerate(AttentionCode)}

router = APIRouter(route_class=BoundedRoute, tags=["analytics"])


@router.get(
    "/attention",
    operation_id="getAttention",
    summary="Get what needs your attention",
    response_model=AttentionList,
)
async def get_attention(
    user: JobsReader, resources: ResourcesDep, process: ThisProcessDep, scope: ScopeQuery = OwnerScope.OWN
) -> Response:
    """Get what went wrong or stands still: dead letters, queues without a worker, failing schedules ….

    Lost and draining workers concern everybody. Failing deliveries are your own, and need
    `notifications:read`. Late loops of the answering process and a full volume are for administrators.
    """
    if scope is OwnerScope.ALL:
        user.ensure(Permission.OPERATE)
    owner_id = None if scope is OwnerScope.ALL else user.id
    lease = timedelta(seconds=resources.settings.lease_seconds)
    async with resources.database.connection() as connection:
        found = await queries.of_jobs(connection, owner_id, lease)
        found += await queries.of_workers(connection, lease)
        if user.allows(Permission.NOTIFICATIONS_READ):
            found += await queries.of_subscriptions(connection, user.id)
    if user.allows(Permission.ADMIN):
        found += system.of_loops(process, datetime.now(UTC))
        found += await system.of_storage(resources.storage, datetime.now(UTC))
    found.sort(key=lambda finding: (finding.code not in _BAD, _ORDER[finding.code], -finding.count))
    return views.respond(
        AttentionList(items=[_item(finding) for finding in found]),
        headers={"Cache-Control": "private, max-age=1"},
    )


def _item(finding: Finding) -> AttentionItem:
    return AttentionItem(
        code=finding.code,
        severity=Severity.BAD if finding.code in _BAD else Severity.WARN,
        count=finding.count,
        since=finding.since,
        facts=finding.facts,
    )
