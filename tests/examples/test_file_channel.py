"""The channel of the example delivers the events of jobs, in the API that loads it."""

import json
from pathlib import Path

import pytest

from app.core.config import Settings
from app.core.database import Database
from app.core.errors import ConfigurationError
from app.notifications.channels.registry import open_channels
from app.notifications.deliverer import Deliverer
from app.notifications.sealing import Sealing
from tests.conftest import MakePlugin
from tests.notifications import subscribing
from tests.support import jobs

PLUGINS = ("examples.file_channel",)


async def test_a_job_that_ends_appends_a_line(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "notifications"
    folder.mkdir()
    monkeypatch.setenv("FILE_CHANNEL_FOLDER", str(folder))
    owner_id = await jobs.user(database)
    await subscribing.subscribe(
        database, owner_id, channel="file", target={"file": "nightly"}, events=["job.completed"]
    )
    await jobs.complete(database, await jobs.running(database, owner_id, rows=5))

    async with open_channels(settings) as channels:
        await Deliverer(database, channels, Sealing(settings)).deliver_due()

    [line] = (folder / "nightly.ndjson").read_text().splitlines()
    assert json.loads(line)["event"]["type"] == "job.completed"


async def test_a_channel_under_another_name_is_refused(settings: Settings, make_plugin: MakePlugin) -> None:
    source = "from examples.file_channel.channels import FileChannel\nCHANNELS = {'disk': FileChannel}"
    plugin = make_plugin("confused_channel", channels=source)
    changed = settings.model_copy(update={"plugins": (plugin,)})

    with pytest.raises(ConfigurationError, match="lists the channel 'file' under 'disk'"):
        async with open_channels(changed):
            pass


async def test_a_channel_must_not_replace_a_built_in_one(settings: Settings, make_plugin: MakePlugin) -> None:
    source = "from examples.file_channel.channels import FileChannel\nCHANNELS = {'webhook': FileChannel}"
    plugin = make_plugin("greedy_channel", channels=source)
    changed = settings.model_copy(update={"plugins": (plugin,)})

    with pytest.raises(ConfigurationError, match="which already exists"):
        async with open_channels(changed):
            pass
