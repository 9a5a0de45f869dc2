"""Guards of engines: who is admitted, what a host may say, which files are kept, how many hosts there are."""

from typing import Final

from tests.mutants.mutant import Mutant

_ADMISSION: Final = "worker/engines/ray/admission.py"
_REMOTE: Final = "worker/engines/ray/remote_host.py"
_NODE: Final = "worker/engines/ray/node_files.py"
_ENGINE: Final = "worker/engines/ray/engine.py"

_ADMISSION_TESTS: Final = "tests/worker/engines/ray/test_admission.py"
_REMOTE_TESTS: Final = "tests/worker/engines/ray/test_remote_host.py"
_NODE_TESTS: Final = "tests/worker/engines/ray/test_node_files.py"
_ENGINE_TESTS: Final = "tests/worker/engines/ray/test_engine.py"
_HOST_TESTS: Final = "tests/worker/engines/ray/test_host.py"

ENGINE_GUARDS: Final = (
    Mutant(
        "hosts: a secret is valid again",
        _ADMISSION,
        "self._issued.pop(matching)[1]",
        "self._issued[matching][1]",
        (f"{_ADMISSION_TESTS}::test_a_secret_has_32_bytes_and_is_valid_once",),
    ),
    Mutant(
        "hosts: a secret is valid for ever",
        _ADMISSION,
        "for secret, issued in self._issued.items() if issued[0] > now}",
        "for secret, issued in self._issued.items() if issued[0] > now or now}",
        (f"{_ADMISSION_TESTS}::test_a_secret_is_valid_for_a_minute",),
    ),
    Mutant(
        "hosts: a first message of any size",
        _ADMISSION,
        "if size > MAX_HELLO_BYTES:",
        "if False:",
        (f"{_ADMISSION_TESTS}::test_garbage_instead_of_a_hello_is_refused",),
    ),
    Mutant(
        "hosts: a connection may say nothing for ever",
        _ADMISSION,
        "self._others.hello_seconds, self.refuse,",
        "3600.0, self.refuse,",
        (f"{_ADMISSION_TESTS}::test_a_connection_that_shows_nothing_is_closed",),
    ),
    Mutant(
        "hosts: any number of strangers",
        _ADMISSION,
        "if len(self._waiting) >= self._max_strangers:",
        "if False:",
        (
            f"{_ADMISSION_TESTS}"
            "::test_of_more_strangers_than_allowed_the_last_are_closed_and_one_that_leaves_makes_room",
        ),
    ),
    Mutant(
        "hosts: each refused connection is logged",
        _ADMISSION,
        "if now - self._logged_at >= 1.0:",
        "if now >= self._logged_at:",
        (f"{_ADMISSION_TESTS}::test_a_flood_of_refused_connections_is_logged_once_a_second",),
    ),
    Mutant(
        "hosts: a machine that is gone is waited for",
        "worker/engines/ray/control.py",
        "    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n",
        "",
        (
            "tests/worker/engines/ray/test_control.py"
            "::test_the_kernel_ends_a_connection_whose_other_machine_is_gone",
        ),
    ),
    Mutant(
        "hosts: another version is admitted",
        _ADMISSION,
        "if hello.version != VERSION:",
        "if False:",
        (f"{_ADMISSION_TESTS}::test_another_version_is_refused_although_it_has_a_secret",),
    ),
    Mutant(
        "hosts: a message of any size",
        _REMOTE,
        "MessageReader(control.decode_from_host, MAX_FROM_HOST_BYTES)",
        "MessageReader(control.decode_from_host, 2**40 * (MAX_FROM_HOST_BYTES > 0))",
        (f"{_REMOTE_TESTS}::test_a_host_that_sends_what_is_no_message_of_a_host_is_given_up",),
    ),
    Mutant(
        "hosts: garbage is read over",
        _REMOTE,
        'self.give_up(f"it sent what is not a message: {error}")',
        "str(error)",
        (f"{_REMOTE_TESTS}::test_a_host_that_sends_what_is_no_message_of_a_host_is_given_up",),
    ),
    Mutant(
        "hosts: answers that nobody has asked for",
        _REMOTE,
        'self.give_up("it answered what it was not asked")',
        "pass",
        (f"{_REMOTE_TESTS}::test_a_host_that_answers_what_it_was_not_asked_is_given_up",),
    ),
    Mutant(
        "hosts: any number of reports",
        _REMOTE,
        "if self._reports > MAX_REPORTS:",
        "if False:",
        (f"{_REMOTE_TESTS}::test_a_flood_of_reports_ends_the_host",),
    ),
    Mutant(
        "hosts: figures without a bound",
        _REMOTE,
        "min(max(message.rss_bytes, 0), MAX_RSS_BYTES)",
        "max(message.rss_bytes, 0) + 0 * MAX_RSS_BYTES",
        (f"{_REMOTE_TESTS}::test_figures_of_a_host_are_bounded",),
    ),
    Mutant(
        "hosts: speak for the children of others",
        _REMOTE,
        "if self._children.pop(child, None) is None:",
        "if self._children.pop(child, None) is None and not child:",
        (f"{_REMOTE_TESTS}::test_what_a_host_says_of_children_that_are_not_its_own_means_nothing",),
    ),
    Mutant(
        "hosts: a file without an end",
        _REMOTE,
        "if left < 0:",
        "if False:",
        (f"{_REMOTE_TESTS}::test_a_file_without_an_end_is_read_up_to_the_limit",),
    ),
    Mutant(
        "hosts: name the files that a child may read",
        _REMOTE,
        "frozenset(asked).intersection(kept)",
        "frozenset(kept)",
        (f"{_REMOTE_TESTS}::test_a_host_cannot_have_a_child_keep_files_that_it_was_not_asked_for",),
    ),
    Mutant(
        "hosts: the children of a lost one live on",
        _REMOTE,
        "            self._child_ended(child, -signal.SIGKILL, 0.0, 0)\n",
        "            str(child)\n",
        (f"{_REMOTE_TESTS}::test_the_children_of_a_lost_control_connection_are_reported_as_killed",),
    ),
    Mutant(
        "hosts: a deaf one is waited for",
        _REMOTE,
        'self._kill_seconds, self.give_up, "it did not kill',
        '3600.0, self.give_up, "it did not kill',
        (f"{_REMOTE_TESTS}::test_a_host_that_does_not_kill_in_time_is_given_up",),
    ),
    Mutant(
        "hosts: one that kills in time is given up",
        _REMOTE,
        "            timer.cancel()\n",
        "            str(timer)\n",
        (f"{_REMOTE_TESTS}::test_a_host_that_kills_in_time_is_kept",),
    ),
    Mutant(
        "node: a file with another SHA-256 is kept",
        _NODE,
        "if incoming.digest.hexdigest() != sha256:",
        "if False:",
        (f"{_NODE_TESTS}::test_a_file_with_another_sha_256_is_not_kept",),
    ),
    Mutant(
        "node: any name names a file",
        _NODE,
        "if len(sha256) != _SHA256_DIGITS or not _HEX.issuperset(sha256):",
        "if False:",
        (f"{_NODE_TESTS}::test_only_a_sha_256_names_a_file_of_the_cache",),
    ),
    Mutant(
        "node: files in use are evicted",
        _NODE,
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "",
        (f"{_NODE_TESTS}::test_the_least_recently_used_files_are_evicted_and_those_in_use_stay",),
    ),
    Mutant(
        "node: the folder of a child stays",
        _NODE,
        "        if (folder := self._folders.pop(child, None)) is not None:\n"
        "            shutil.rmtree(folder, ignore_errors=True)\n",
        "",
        (f"{_NODE_TESTS}::test_the_folder_of_a_child_goes_with_the_child",),
    ),
    Mutant(
        "host: works on without a fork server",
        "worker/engines/ray/host.py",
        "                self._connection.shutdown(socket.SHUT_RDWR)\n",
        "                pass\n",
        (f"{_HOST_TESTS}::test_a_host_whose_fork_server_dies_ends",),
    ),
    Mutant(
        "host: is open to its user",
        "worker/engines/ray/host.py",
        "    hardening.make_undumpable()  # before it holds the secret\n"
        "    main(address, sys.stdin.readline().strip())",
        "    asyncio.run(_serve(address, sys.stdin.readline().strip()))",
        ("tests/core/test_hardening.py::test_no_process_of_the_same_user_reads_the_secrets_of_ours",),
    ),
    Mutant(
        "host: children know the cluster",
        "app/core/hardening.py",
        '"OTEL_", "RAY_")',
        '"OTEL_")',
        ("tests/core/test_hardening.py::test_what_looks_like_a_secret_reaches_no_child",),
    ),
    Mutant(
        "engine: starts hosts again and again",
        _ENGINE,
        "min(wanted - starting, room)",
        "min(wanted, room + 0 * starting)",
        (f"{_ENGINE_TESTS}::test_no_more_hosts_start_than_jobs_are_due",),
    ),
    Mutant(
        "engine: starts more hosts than slots",
        _ENGINE,
        "min(wanted - starting, room)",
        "wanted - starting + 0 * room",
        (f"{_ENGINE_TESTS}::test_no_more_hosts_start_than_there_are_slots",),
    ),
    Mutant(
        "engine: a slot waits although its job is gone",
        _ENGINE,
        "for waiter in tuple(self._waiting)[due:]:",
        "for waiter in tuple(self._waiting)[due + len(self._waiting) :]:",
        (f"{_ENGINE_TESTS}::test_a_slot_whose_job_another_worker_has_taken_gets_no_host",),
    ),
    Mutant(
        "engine: idle hosts stay",
        _ENGINE,
        "now - slot.idle_since >= self._idle_seconds",
        "now - slot.idle_since >= self._idle_seconds + 3600",
        (f"{_ENGINE_TESTS}::test_a_host_starts_when_a_job_is_due_and_ends_when_it_has_been_idle",),
    ),
    Mutant(
        "engine: hosts that die are started at once",
        _ENGINE,
        "if error is None and slot.is_lost and slot.pool is None:",
        "if False:",
        (f"{_ENGINE_TESTS}::test_hosts_that_die_before_they_are_ready_are_started_with_a_backoff",),
    ),
    Mutant(
        "engine: busy hosts are idle",
        _ENGINE,
        "is_idle = not slot.is_busy and now",
        "is_idle = now",
        (f"{_ENGINE_TESTS}::test_a_host_that_works_is_not_ended_while_another_is_idle",),
    ),
    Mutant(
        "engine: the last secret of a host stays valid",
        _ENGINE,
        "        self._secrets.revoke(slot.secret)\n        slot.secret = ",
        "        slot.secret = ",
        (f"{_ENGINE_TESTS}::test_a_new_secret_of_a_host_ends_the_validity_of_the_last",),
    ),
    Mutant(
        "worker: claims before a child is ready",
        "worker/run_next.py",
        "return is_reserved and await self._claim_and_run(queue)",
        "return await self._claim_and_run(queue) or is_reserved",
        ("tests/worker/test_run_next.py::test_without_a_child_no_job_is_claimed",),
    ),
    Mutant(
        "child: a signal without a name is an error of the worker",
        "worker/children/errors.py",
        "        except ValueError:\n            return None\n",
        "        except KeyError:\n            return None\n",
        (
            "tests/worker/children/test_errors.py"
            "::test_a_death_names_its_cause_also_a_signal_that_has_no_name",
        ),
    ),
    Mutant(
        "explain: a node is waited for although a worker is ready",
        "app/jobs/explanations.py",
        "EngineState.WAITING in found.engine_states and EngineState.READY not in found.engine_states",
        "EngineState.WAITING in found.engine_states",
        ("tests/jobs/test_explanations.py::test_a_job_whose_only_worker_waits_for_a_node_says_so",),
    ),
    Mutant(
        "explain: one worker without an engine hides the others",
        "app/jobs/explanations.py",
        "if found.engine_states == {EngineState.UNAVAILABLE}:",
        "if EngineState.UNAVAILABLE in found.engine_states:",
        ("tests/jobs/test_explanations.py::test_a_job_whose_only_worker_waits_for_a_node_says_so",),
    ),
    Mutant(
        "hosts: a child that exits as it starts is taken for a running one",
        _REMOTE,
        "if child not in self._children:  # nobody",
        "if False:  # nobody",
        (f"{_REMOTE_TESTS}::test_a_child_that_exits_as_it_starts_fails_to_start",),
    ),
    Mutant(
        "children: the end of a child is reported before its start",
        "worker/children/forking.py",
        "        if not self._is_forking:\n",
        "        if True:\n",
        (
            "tests/worker/children/test_forking.py"
            "::test_the_end_of_a_child_is_reported_after_its_start_however_soon_it_exits",
        ),
    ),
    Mutant(
        "worker: it imports what only its children need",
        "worker/main.py",
        "from worker.inside_handlers import INSIDE\n",
        "from worker.handlers import HANDLERS  # noqa: F401\nfrom worker.inside_handlers import INSIDE\n",
        ("tests/worker/test_main.py::test_a_worker_imports_nothing_that_only_its_children_need",),
    ),
)
