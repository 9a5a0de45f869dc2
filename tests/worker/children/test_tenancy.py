"""Which jobs may share a child."""

from dataclasses import replace

import pytest

from app.core import ids
from app.core.files import StoredFile
from app.core.sandbox.permissions import Permission
from app.jobs.kinds import registry
from app.jobs.kinds.kind import Kind
from app.jobs.transition_types import ClaimedJob
from worker.children.tenancy import Tenancy, tenancy_of

KINDS = registry.load(())
FILE = StoredFile("artifacts/model", 10, "0" * 64)
ADA, BOB = ids.new_id(), ids.new_id()


def claimed(kind: str = "batch_predict") -> ClaimedJob:
    return ClaimedJob(
        id=ids.new_id(),
        attempt=1,
        owner_id=ADA,
        kind=kind,
        queue="default",
        params=b"{}",
        rows=b"[]",
        total=0,
        next_batch=0,
        done=0,
        checkpoint=None,
        soft_limit_seconds=1,
        time_limit_seconds=1,
        failures=0,
        max_attempts=1,
        waited_seconds=0.0,
    )


@pytest.mark.parametrize("kind", ["batch_predict", "evaluate_model"])
def test_built_in_code_on_inline_rows_serves_all_owners(kind: str) -> None:
    assert replace(tenancy_of(claimed(kind), KINDS), may_write=False) == Tenancy()


def test_only_kinds_that_store_files_may_write() -> None:
    ours = {kind: tenancy_of(claimed(kind), KINDS).may_write for kind in KINDS}

    assert ours == {
        "batch_predict": False,
        "convert_model": True,
        "evaluate_model": True,
        "inspect_model": False,
        "preprocess_dataset": True,
        "send_email": False,
        "train_model": True,
    }


def test_a_profiled_job_may_write_its_profile() -> None:
    profiled = replace(claimed(), is_profiled=True)

    assert tenancy_of(profiled, KINDS) == replace(tenancy_of(claimed(), KINDS), may_write=True)


@pytest.mark.parametrize(
    "job",
    [
        replace(claimed(), files={"model": FILE}),
        replace(claimed("evaluate_model"), files={"dataset": FILE}),
        replace(claimed(), checkpoint=b"state"),
        replace(claimed(), checkpoint_file=FILE),
        claimed("train_model"),
        claimed("inspect_model"),
    ],
    ids=["a model", "a dataset", "a checkpoint", "a checkpoint's file", "a training", "an inspection"],
)
def test_any_input_from_a_user_binds_the_child_to_the_owner(job: ClaimedJob) -> None:
    tenancy = tenancy_of(job, KINDS)

    assert tenancy.owner_id == ADA
    assert tenancy.files == {FILE.key for file in (*job.files.values(), job.checkpoint_file) if file}


def test_a_plugin_kind_is_bound_unless_it_shares_children() -> None:
    ours = KINDS["batch_predict"]
    plugin = Kind(name="plugin", summary="", request=ours.request, plan=ours.plan)
    kinds = {"plugin": plugin, "sharing": replace(plugin, name="sharing", shares_children=True)}

    assert tenancy_of(claimed("plugin"), kinds).owner_id == ADA
    assert tenancy_of(claimed("sharing"), kinds).owner_id is None


def test_a_tenancy_covers_by_owner_permissions_and_files() -> None:
    bound = Tenancy(ADA, frozenset({Permission.FILES}), frozenset({"a", "b"}))

    assert bound.covers(replace(bound, files=frozenset({"a"})))
    assert not bound.covers(replace(bound, owner_id=BOB))
    assert not bound.covers(replace(bound, owner_id=None))
    assert not bound.covers(replace(bound, permissions=frozenset()))
    assert not bound.covers(replace(bound, may_write=True))
    assert not bound.covers(replace(bound, files=frozenset({"a", "c"})))
