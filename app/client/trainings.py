"""Trainings, evaluations and searches: creates and follows them, as flows."""

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

from app.client import options
from app.client.creation import create, create_job
from app.client.dataset_values import AnyDataset
from app.client.errors import NotFound, WaitTimeout
from app.client.exchange import Exchange
from app.client.model_values import AnyModel, model_reference
from app.client.options import EvaluateOptions, TrainOptions
from app.client.steps import Emit, Flow, Pause, Request
from app.client.training_values import AnySearch, Search, SubmittedSearch, search_id
from app.client.values import Submitted
from app.client.waiting import HOLD_SECONDS, NEVER, wait

REFRESH_SECONDS: Final = 2.0
"""How often `follow_search` looks at a search while no awaited trial ends."""

SearchSpace = Mapping[str, Sequence[Any] | Mapping[str, Any]]
"""For each hyperparameter a list of values, or a range: `{"min": 1e-6, "max": 1e-2, "log": True}`."""

Rows = Sequence[Mapping[str, Any]]


class Trainings:
    """The methods of the clients for trainings, evaluations and searches, as flows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def train(
        self, target: str, dataset: AnyDataset | None, rows: Rows | None, more: TrainOptions
    ) -> Flow[Submitted]:
        """Submit a training."""
        members, key = options.split_options(more)
        body = {**_row_source(dataset, rows), "target": target, **members}
        return create_job(self._exchange, "train-model", body, key)

    def evaluate(
        self,
        model: AnyModel,
        target: str,
        dataset: AnyDataset | None,
        rows: Rows | None,
        more: EvaluateOptions,
    ) -> Flow[Submitted]:
        """Submit an evaluation."""
        members, key = options.split_options(more)
        body = {"model": model_reference(model), **_row_source(dataset, rows), "target": target, **members}
        return create_job(self._exchange, "evaluate-model", body, key)

    def create_search(
        self,
        target: str,
        search: Mapping[str, Any],
        folds: int | None,
        dataset: AnyDataset | None,
        rows: Rows | None,
        more: TrainOptions,
    ) -> Flow[SubmittedSearch]:
        """Submit a search; `search` is the member of that name, left out if there is nothing in it."""
        members, key = options.split_options(more)
        wanted = {name: value for name, value in search.items() if value is not None}
        body = {**_row_source(dataset, rows), "target": target, **members}
        if wanted:
            body["search"] = wanted
        if folds is not None:
            body["folds"] = folds
        return create(self._exchange, "train-model", body, key, _submitted_search)

    def search(self, search: AnySearch) -> Flow[Search]:
        """Fetch a search with its leaderboard. Raises NotFound, also for a group that is no search."""
        group = search_id(search)
        retry_state = self._exchange.retry_state(self._exchange.retry_config.away_seconds)
        found = yield from self._exchange.read(
            lambda document: Search.parse(document) if "search" in document else None,
            Request("GET", _path(group)),
            retry_state,
        )
        if found is None:
            raise NotFound(f"The group {group} is not a search.", status=404, code="group_not_found")
        return found

    def wait(self, search: AnySearch, timeout: float | None) -> Flow[Search]:
        """Return a search once all its trials have ended. Raises WaitTimeout."""
        deadline = NEVER if timeout is None else monotonic() + timeout
        while True:
            latest = yield from self.search(search)
            if latest.is_finished:
                return latest
            left = max(0.0, deadline - monotonic())
            late = yield from self._await_change(latest, min(HOLD_SECONDS, left))
            if late is not None and monotonic() >= deadline:
                raise late

    def follow(self, search: AnySearch) -> Flow[None]:
        """Emit a search now, and whenever it has changed, until all its trials have ended."""
        shown: Search | None = None
        while True:
            latest = yield from self.search(search)
            if latest != shown:
                yield Emit(latest)
                shown = latest
            if latest.is_finished:
                return
            yield from self._await_change(latest, REFRESH_SECONDS)

    def cancel_search(self, search: AnySearch) -> Flow[Search]:
        """Cancel the trials of a search that have not ended."""
        yield from self.search(search)  # another group is not cancelled by mistake
        yield from self._exchange.ask(Request("DELETE", _path(search_id(search))))
        return (yield from self.search(search))

    def _await_change(self, search: Search, seconds: float) -> Flow[WaitTimeout | None]:
        """Return once a trial that has not ended ends, or after some seconds, with the timeout."""
        left = [trial for trial in search.leaderboard if not trial.is_final]
        if not left:  # its last trials have ended, and the next ones do not exist yet
            yield Pause(REFRESH_SECONDS)
            return None
        running = [trial for trial in left if trial.status == "running"]
        try:
            yield from wait(self._exchange, (running or left)[0].awaited_job_id, seconds)
        except WaitTimeout as timeout:
            return timeout
        return None


def _path(group: str) -> str:
    return f"/groups/{quote(group, safe='')}"


def _row_source(dataset: AnyDataset | None, rows: Rows | None) -> dict[str, Any]:
    """The members of a body that say where the rows are."""
    return {**options.dataset_member(dataset), **({} if rows is None else {"rows": list(rows)})}


def _submitted_search(document: Mapping[str, Any], is_replay: bool) -> SubmittedSearch:
    return SubmittedSearch(document["group_id"], tuple(document["job_ids"]), is_replay, document)
