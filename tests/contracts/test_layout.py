"""Tests are where a reader looks for them, and no file names paths of one machine or a registry."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"

ABOUT_A_TOPIC = {
    "analytics/test_exact.py",
    "analytics/test_reading.py",
    "analytics/test_upgrade.py",
    "auth/browser_sessions/test_browser.py",
    "auth/test_current_user.py",
    "auth/test_guessing.py",
    "auth/test_logs.py",
    "auth/test_refresh.py",
    "auth/test_sign_in.py",
    "auth/test_sign_up.py",
    "cli/test_stopping.py",
    "client/test_docs.py",
    "client/test_docs_in_js.py",
    "client/test_fuzzing.py",
    "client/test_generated.py",
    "client/test_interruptions.py",
    "client/test_predictions.py",
    "client/test_preprocessing.py",
    "client/test_stories.py",
    "datasets/profiling/test_http.py",
    "datasets/profiling/test_profile.py",
    "datasets/test_bombs.py",
    "docs/test_pages.py",
    "datasets/test_bucket.py",
    "datasets/test_causes.py",
    "datasets/test_conversion_imports.py",
    "datasets/test_memory.py",
    "datasets/test_refusals.py",
    "datasets/test_row_sizes.py",
    "datasets/test_types.py",
    "datasets/test_wide.py",
    "datasets/test_wide_and_long.py",
    "notifications/test_docs.py",
    "http/test_app.py",
    "http/test_attacks.py",
    "http/test_held_bodies.py",
    "http/test_lingering.py",
    "http/test_shutdown.py",
    "jobs/kinds/test_plans.py",
    "jobs/preprocessing/test_http.py",
    "jobs/shards/test_results.py",
    "jobs/shards/test_visibility.py",
    "worker/preprocessing/test_million.py",
    "worker/preprocessing/test_resume.py",
    "worker/preprocessing/test_steps.py",
    "jobs/kinds/test_plugins.py",
    "jobs/kinds/test_restoring.py",
    "jobs/shards/test_submitting.py",
    "jobs/test_create_all.py",
    "jobs/test_gpus.py",
    "jobs/test_pages.py",
    "jobs/test_quota_room.py",
    "jobs/test_retry.py",
    "jobs/test_transition_locks.py",
    "models/test_descriptions.py",
    "models/test_uploads.py",
    "operations/test_health.py",
    "operations/test_metrics.py",
    "quotas/test_quota.py",
    "schedules/test_against_wall_clock.py",
    "schedules/test_exactly_once.py",
    "schedules/test_recipes.py",
    "streams/test_forged_hints.py",
    "streams/test_log_exactly.py",
    "streams/test_owner_streams.py",
    "streams/test_resuming.py",
    "streams/test_websocket.py",
    "dashboard/test_admin.py",
    "dashboard/test_automation.py",
    "dashboard/test_new_job.py",
    "dashboard/test_contracts.py",
    "dashboard/test_faults.py",
    "dashboard/test_large_files.py",
    "dashboard/test_live.py",
    "dashboard/test_logs.py",
    "dashboard/test_names.py",
    "dashboard/test_models_and_datasets.py",
    "dashboard/test_pages.py",
    "dashboard/test_settings.py",
    "dashboard/test_shards.py",
    "dashboard/test_states.py",
    "worker/children/test_confinement.py",
    "worker/handlers/test_drift.py",
    "worker/runtimes/sklearn/inspection/test_attacks.py",
    "worker/runtimes/sklearn/inspection/test_rebuilt.py",
    "worker/runtimes/test_fuzzing.py",
    "worker/test_completions.py",
    "cli/test_entry_point.py",
    "cli/test_json.py",
    "operations/test_metrics_port.py",
    "worker/runtimes/sklearn/test_refusals.py",
    "worker/test_forged_tokens.py",
    "worker/test_telemetry.py",
    "worker/test_worker_folder.py",
    "worker/training/learners/test_catalogue.py",
}
"""Tests in a mirrored folder that concern several modules: a story, an attack, a limit."""

NOT_OURS = {".git", ".venv", ".data", "node_modules", "__pycache__"}

# Put together from halves: this file is one of those that are searched.
OF_ONE_MACHINE = re.compile(
    r"(?<![\w.~-])/" + r"work/"
    r"|pypi\." + r"org|python" + r"hosted\.org|npm" + r"js\.org|registry\.npm" + r"|--index" + r"-url"
)


def mirrored(path: Path) -> Path | None:
    """The source folder that a test's folder mirrors, or None."""
    below = path.parent.relative_to(TESTS)
    source = ROOT / below if below.parts[:1] == ("worker",) else ROOT / "app" / below
    return source if source.is_dir() and below.parts else None


def is_about_its_module(path: Path, source: Path) -> bool:
    name = path.stem.removeprefix("test_")
    if name == "http":  # the whole domain, over HTTP
        return (source / "routes.py").exists()
    return source.name == name or (source / f"{name}.py").exists() or (source / name).is_dir()


def test_a_test_file_is_named_for_a_module_or_known_to_be_about_a_topic() -> None:
    found = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("test_*.py")
        if (source := mirrored(path)) is not None and not is_about_its_module(path, source)
    }

    assert found == ABOUT_A_TOPIC


def files() -> Iterator[Path]:
    folders = [ROOT]
    while folders:
        for path in folders.pop().iterdir():
            if path.name in NOT_OURS or path.name.endswith("_cache") or path.name == ".hypothesis":
                continue
            if path.is_dir():
                folders.append(path)
            elif path.is_file() and not path.is_symlink():
                yield path


def test_no_file_names_a_path_of_one_machine_or_a_registry() -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for path in files()
        if path.stat().st_size < 4 * 1024 * 1024 and OF_ONE_MACHINE.search(path.read_text(errors="replace"))
    ]

    assert found == []


def test_the_hooks_before_a_commit_run_from_the_virtual_environment() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()

    entries = re.findall(r"entry: (.+)", hooks)
    assert len(entries) == hooks.count("- id: ") == hooks.count("language: system")
    assert re.findall(r"repo: (.+)", hooks) == ["local"]
    assert all(entry.startswith(".venv/bin/") for entry in entries)
