"""The SQL by which a transition writes the deliveries of its events, for the subscriptions that match.

It is part of the statement that writes the event, so a delivery exists exactly when its event does. Text
only: `app.notifications` has everything else about deliveries.
"""

from typing import Final

from app.jobs.model_name import MODEL_NAME

TOLD: Final = f"""told AS (
    INSERT INTO deliveries (subscription_id, type, job_id, seq, next_try_at)
    SELECT s.id, 'job.' || e.type, e.job_id, e.seq, now() + make_interval(secs => s.gather_seconds)
    FROM logged e JOIN changed j ON j.id = e.job_id
    JOIN subscriptions s ON s.owner_id = j.owner_id AND s.status = 'active'
        AND 'job.' || e.type = ANY (s.events)
        AND (s.kind IS NULL OR s.kind = j.kind)
        AND (s.queue IS NULL OR s.queue = j.queue)
        AND (s.job_id IS NULL OR s.job_id = j.id)
        AND (s.group_id IS NULL OR s.group_id = j.group_id)
        AND (s.schedule_id IS NULL OR s.schedule_id = j.schedule_id)
        AND (s.metadata IS NULL OR j.metadata @> s.metadata)
        AND (s.model IS NULL OR s.model = {MODEL_NAME})
    WHERE e.type <> 'progress'  -- no subscription may name it
        AND j.parent_id IS NULL
)"""  # noqa: S608  # put together from a constant
"""A common table expression that follows `logged` and `changed` of a transition."""
