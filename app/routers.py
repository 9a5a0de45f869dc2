"""The table of contents of the HTTP API."""

from collections.abc import Mapping
from functools import lru_cache

from fastapi import APIRouter

from app.analytics.routes import router as analytics
from app.attention.routes import router as attention
from app.audit.routes import router as audit
from app.auth.api_keys.routes import router as api_keys
from app.auth.browser_sessions.routes import router as browser_sessions
from app.auth.download_tickets.routes import router as download_tickets
from app.auth.invitations.routes import router as invitations
from app.auth.oauth.routes import router as oauth
from app.auth.password_resets.routes import router as password_resets
from app.auth.routes import router as auth
from app.auth.sessions.routes import router as sessions
from app.auth.users.routes import router as users
from app.core.config import DocsAccess
from app.dashboard.assets import ShellFacts
from app.dashboard.routes import dashboard_router
from app.datasets.routes import router as datasets
from app.docs.routes import docs_router
from app.jobs.algorithms.routes import router as algorithms
from app.jobs.bulk_actions.routes import router as bulk_actions
from app.jobs.creation import creation_router
from app.jobs.dead_letters.routes import router as dead_letters
from app.jobs.emails.routes import router as emails
from app.jobs.exports.routes import router as results
from app.jobs.groups.routes import bulk_router
from app.jobs.groups.routes import router as groups
from app.jobs.input_rows.routes import router as input_rows
from app.jobs.kind_list.routes import router as kind_list
from app.jobs.kinds.kind import Kind
from app.jobs.ledgers.routes import router as ledgers
from app.jobs.logs.routes import router as logs
from app.jobs.model_uploads.routes import router as uploads
from app.jobs.predictions.routes import router as predictions
from app.jobs.profiles.routes import router as profiles
from app.jobs.queues.routes import router as queues
from app.jobs.resubmissions.routes import router as job_requests
from app.jobs.result_summaries.routes import router as result_summaries
from app.jobs.routes import router as jobs
from app.jobs.shards.routes import router as shards
from app.jobs.workers.routes import router as workers
from app.models.evaluations.routes import router as evaluations
from app.models.plots.routes import router as model_plots
from app.models.reports.routes import router as model_reports
from app.models.routes import router as models
from app.notifications.channels.channel import OpenChannel
from app.notifications.pages import router as notification_pages
from app.notifications.routes import router as notifications
from app.notifications.routes import subscriptions_router
from app.operations.routes import router as operations
from app.operations.system.routes import router as system
from app.quotas.routes import router as quotas
from app.schedules.compatibility.routes import creation_router as scheduler_creation_router
from app.schedules.compatibility.routes import router as scheduler
from app.schedules.group_routes import router as schedule_groups
from app.schedules.routes import definition_router
from app.schedules.routes import router as schedules
from app.schedules.schemas import schedule_bodies
from app.search.routes import router as search
from app.streams.routes import router as streams
from app.streams.socket_routes import router as sockets


def routers(
    kinds: Mapping[str, Kind],
    channels: Mapping[str, OpenChannel],
    docs: DocsAccess,
    shell: ShellFacts,
) -> tuple[APIRouter, ...]:
    """Every router, in the order of the documentation and of matching: the most frequent requests first.

    Each kind of job has its own route.
    """
    creation, bulk, defining, scheduler_creation = _of_kinds(tuple(kinds.values()))
    changing_subscriptions = _of_channels(tuple(kinds.values()), tuple(channels.values()))
    return (
        creation,
        # Before `jobs`, so that `/jobs/stream` is not taken for a job id.
        streams,
        jobs,
        results,
        result_summaries,
        input_rows,
        job_requests,
        profiles,
        ledgers,
        shards,
        logs,
        bulk,
        bulk_actions,
        predictions,
        emails,
        oauth,
        browser_sessions,
        download_tickets,
        auth,
        # Before `users`, so that `/users/me/…` is not taken for a user id.
        sessions,
        password_resets,
        users,
        invitations,
        audit,
        api_keys,
        quotas,
        datasets,
        models,
        evaluations,
        model_reports,
        model_plots,
        uploads,
        sockets,
        groups,
        dead_letters,
        defining,
        schedules,
        schedule_groups,
        scheduler_creation,
        scheduler,
        algorithms,
        kind_list,
        changing_subscriptions,
        notifications,
        notification_pages,
        analytics,
        attention,
        search,
        workers,
        queues,
        operations,
        system,
        _dashboard(shell),
        _docs(docs),
    )


# Building the models of all requests is slow, and so are routes: cached for tests, which create many
# applications.
@lru_cache(maxsize=2)
def _of_kinds(kinds: tuple[Kind, ...]) -> tuple[APIRouter, APIRouter, APIRouter, APIRouter]:
    by_name = {kind.name: kind for kind in kinds}
    bodies = schedule_bodies(by_name)
    return (
        creation_router(by_name),
        bulk_router(by_name),
        definition_router(bodies),
        scheduler_creation_router(by_name, bodies.request),
    )


@lru_cache(maxsize=2)
def _docs(access: DocsAccess) -> APIRouter:
    return docs_router(access)


@lru_cache(maxsize=2)
def _dashboard(shell: ShellFacts) -> APIRouter:
    return dashboard_router(shell)


@lru_cache(maxsize=2)
def _of_channels(kinds: tuple[Kind, ...], channels: tuple[OpenChannel, ...]) -> APIRouter:
    by_name = {channel.name: channel for channel in channels}
    return subscriptions_router({kind.name: kind for kind in kinds}, by_name)
