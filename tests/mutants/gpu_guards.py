"""The guards of GPUs: which slot takes a job, what a process sees, and what must not happen in silence."""

from typing import Final

from tests.mutants.mutant import Mutant

TURNS: Final = "app/jobs/turns.py"
QUEUES: Final = "app/jobs/queues/queries.py"
REQUESTS: Final = "app/jobs/requests.py"
POOL: Final = "worker/children/pool.py"
CHILD: Final = "worker/children/child.py"
GPUS: Final = "worker/gpus.py"
PROVIDERS: Final = "worker/runtimes/onnx/providers.py"
LANDLOCK: Final = "app/core/sandbox/landlock.py"


def _jobs(test: str) -> tuple[str, ...]:
    return (f"tests/jobs/test_gpus.py::{test}",)


def _pool(test: str) -> tuple[str, ...]:
    return (f"tests/worker/children/test_pool.py::{test}",)


_SHARDS: Final = (
    "tests/jobs/shards/test_submitting.py::"
    "test_shards_have_the_gpus_of_their_job_and_are_for_slots_that_have_them"
)

GPU_GUARDS: Final = (
    Mutant(
        "gpus: a slot takes jobs that need more than it has",
        TURNS,
        "j.gpus <= :slot_gpus::smallint)",
        ":slot_gpus::smallint IS NOT NULL)",
        _jobs("test_a_slot_takes_jobs_that_need_no_more_gpus_than_it_has"),
    ),
    Mutant(
        "gpus: jobs that no slot could take start nodes",
        QUEUES,
        "AND j.gpus <= :slot_gpus::smallint\n",
        "AND :slot_gpus::smallint IS NOT NULL\n",
        _jobs("test_the_jobs_that_a_worker_could_claim_are_counted_by_its_gpus"),
    ),
    Mutant(
        "gpus: a worker with too few is able",
        QUEUES,
        "AND gpus >= :gpus::smallint) AS able_workers",
        "AND :gpus::smallint IS NOT NULL) AS able_workers",
        _jobs("test_that_no_worker_has_enough_gpus_is_said_until_one_comes"),
    ),
    Mutant(
        "gpus: a shard needs none",
        "app/jobs/shards/transition_statements.py",
        "p.trace_context, p.profile, p.gpus, 1",
        "p.trace_context, p.profile, 0, 1",
        (_SHARDS,),
    ),
    Mutant(
        "gpus: a job is divided for slots that cannot take its shards",
        "app/jobs/shards/tallies.py",
        " FILTER (WHERE gpus >= :gpus::smallint)",
        " FILTER (WHERE :gpus::smallint IS NOT NULL)",
        (_SHARDS,),
    ),
    Mutant(
        "gpus: a job with GPUs waits among the others",
        REQUESTS,
        "GPU_QUEUE if self.gpus else default",
        "default",
        _jobs("test_a_job_with_gpus_waits_in_their_queue_unless_it_names_another"),
    ),
    Mutant(
        "gpus: two children hold the same",
        POOL,
        "if slot not in taken]",
        "]",
        _pool("test_children_of_different_slots_see_different_gpus_and_keep_them"),
    ),
    Mutant(
        "gpus: a child takes them from one that has not exited",
        POOL,
        "for child in self._children.values() if child.gpus is not None}",
        "for child in self._busy if child.gpus is not None}",
        _pool("test_a_child_gets_gpus_only_when_the_child_that_held_them_has_exited"),
    ),
    Mutant(
        "gpus: a child overwrites those of its environment",
        CHILD,
        "    if limits.gpus:\n",
        "    if limits.gpus is not None:\n",
        _pool("test_gpus_that_the_environment_shows_are_left_as_they_are"),
    ),
    Mutant(
        "gpus: slots without any start",
        GPUS,
        "if len(found) < needed:",
        "if not found:",
        ("tests/worker/test_gpus.py::test_gpus_that_do_not_fit_the_slots_are_refused",),
    ),
    Mutant(
        "gpus: a worker starts without the provider of ONNX Runtime",
        GPUS,
        "if CUDA not in providers:",
        "if not providers:",
        ("tests/worker/test_gpus.py::test_onnx_cuda_is_refused_without_gpus_and_without_its_provider",),
    ),
    Mutant(
        "gpus: a model runs on the CPU in silence",
        PROVIDERS,
        "        raise GpuUnavailable\n",
        "        pass\n",
        (
            "tests/worker/runtimes/onnx/test_providers.py::"
            "test_a_model_that_cannot_run_on_the_gpu_fails_and_may_be_retried",
        ),
    ),
    Mutant(
        "gpus: the sandbox lets no process control a device",
        LANDLOCK,
        "DEVICE: Final = _READ_FILE | _WRITE_FILE | _READ_DIR | _IOCTL_DEV",
        "DEVICE: Final = _READ_FILE | _WRITE_FILE | _READ_DIR",
        ("tests/core/sandbox/test_landlock.py::test_only_a_rule_for_devices_lets_a_process_control_one",),
    ),
)
