"""The worker's folder is private, and only regular files in it are stored."""

import os
import tempfile
from pathlib import Path

import pytest

from app.core.errors import ConfigurationError
from app.core.resources import Resources
from tests.worker.children.test_tenancy import claimed
from worker import folders
from worker.files import FileFault, Files
from worker.folders import own_folder


def test_a_created_folder_is_private(tmp_path: Path) -> None:
    own_folder(tmp_path / "new" / "folder")

    assert (tmp_path / "new" / "folder").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_created_is_refused_by_the_name_of_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")

    for folder in (tmp_path / "file" / "folder", tmp_path / "file" / "more" / "folders"):
        with pytest.raises(ConfigurationError, match=r"^WORKER_DIR: cannot create .*: "):
            own_folder(folder)


def test_a_link_is_refused_as_the_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "planted").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ConfigurationError, match="not a folder"):
        own_folder(tmp_path / "planted")


def test_a_folder_that_others_may_access_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)

    with pytest.raises(ConfigurationError, match="chmod 700"):
        own_folder(tmp_path / "open")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir(mode=0o700)
    os.chown(tmp_path / "foreign", 12_345, 12_345)

    with pytest.raises(ConfigurationError, match="belongs to another user, with uid 12345"):
        own_folder(tmp_path / "foreign")


def test_the_worker_creates_another_folder_if_the_default_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    planted = folders.default_folder()
    planted.rmdir()
    planted.symlink_to(tmp_path)

    chosen = folders.default_folder()

    assert chosen != planted
    assert not chosen.is_symlink()
    assert chosen.stat().st_mode & 0o777 == 0o700


async def test_only_a_regular_file_in_the_scratch_folder_is_stored(
    resources: Resources, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("another owner's rows")
    job = claimed("train_model")
    async with Files(resources.storage, tmp_path / "worker", 2**20) as files:
        files.assign_folder(job, files.create_child_folder(4711))
        scratch = files.scratch(job)
        scratch.mkdir()
        (scratch / "good").write_text("weights")
        (scratch / "symbolic").symlink_to(secret)
        (scratch / "hard").hardlink_to(secret)
        (scratch / "folder").symlink_to(tmp_path)
        os.mkfifo(scratch / "pipe")

        kept = await files.store(job, "artifacts", "model", "good")
        assert await resources.storage.get(kept) == b"weights"
        for name in (
            "symbolic",
            "hard",
            "folder/secret",
            "pipe",
            "../../../secret",
            str(secret),
            "none",
            ".",
        ):
            with pytest.raises(FileFault):
                await files.store(job, "artifacts", "model", name)
        await files.clear_scratch(job)
    assert secret.read_text() == "another owner's rows"
