"""`headrace models`, as processes."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.client.running import User
from tests.models.files import as_onnx, classifier

# Each call of the command line is a process.
pytestmark = pytest.mark.long


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A classifier as an ONNX file."""
    path = tmp_path / "flowers.onnx"
    path.write_bytes(as_onnx(classifier()))
    return path


def test_a_model_is_uploaded_shown_downloaded_and_deleted(
    headrace: Run, ada: User, flowers: Path, tmp_path: Path
) -> None:
    uploaded = headrace("models", "upload", "flowers", str(flowers), "--alias", "prod")
    headrace("models", "upload", "flowers", str(flowers))
    listed = headrace("models", "list").stdout.splitlines()
    shown = headrace("models", "show", "flowers@prod").stdout
    moved = headrace("models", "alias", "flowers@2", "prod")
    versions = headrace("models", "versions", "flowers", "--json")
    public = headrace("models", "visibility", "flowers", "public")
    copy = tmp_path / "copy.onnx"
    written = headrace("models", "download", "flowers@prod", "--output", str(copy), "--json")

    assert (uploaded.returncode, uploaded.stdout) == (0, "flowers@1\n")
    assert uploaded.stderr.startswith("onnx, classification")
    assert listed[1].split()[:4] == ["flowers", "2", "prod=1", "private"]
    assert listed[-1].split()[0] == "sentiment"
    assert shown.startswith("flowers@1\n")
    assert "  classes: setosa, versicolor, virginica\n" in shown
    assert moved.stdout == "flowers@prod is flowers@2\n"
    assert [found["aliases"] for found in json.loads(versions.stdout)["items"]] == [["prod"], []]
    assert public.stdout == f"{ada.name}/flowers public\n"
    assert copy.read_bytes() == flowers.read_bytes()
    assert json.loads(written.stdout)["model"] == "flowers@2"

    assert headrace("models", "unalias", "flowers", "prod").stdout == "flowers@prod deleted\n"
    assert headrace("models", "delete", "flowers@1").stdout == "flowers@1 deleted\n"
    kept = headrace("models", "delete", "flowers", stdin=b"n\n")
    deleted = headrace("models", "delete", "flowers", "--yes", "--json")
    assert (kept.returncode, kept.stdout.strip()) == (1, "")
    assert json.loads(deleted.stdout) == {"model": "flowers", "deleted": True}


def test_the_algorithms_are_listed_with_their_params(headrace: Run) -> None:
    table = headrace("models", "algorithms").stdout

    assert "ridge" in table
    assert "learning_rate" in table


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["upload", "flowers", "/nowhere"], 1, "cannot read /nowhere: No such file"),
        (["upload", "flowers", "README.md"], 1, "neither a skops file nor an ONNX model"),
        (["upload", "sentiment", "README.md"], 1, "sentiment"),
        (["show", "unheard-of"], 1, "unheard-of"),
        (["show", "sentiment@best"], 1, "The model sentiment has no alias best."),
        (["show", "@1"], 2, "is not a model"),
        (["delete", "bob/flowers@1"], 2, "only its owner can change bob/flowers"),
        (["download", "sentiment"], 1, "sentiment"),
        (["download", "sentiment", "--json"], 2, "--output"),
    ],
)
def test_an_error_is_one_line_on_stderr(headrace: Run, arguments: list[str], code: int, message: str) -> None:
    done = headrace("models", *arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert message in done.stderr


def test_a_model_is_described_tagged_found_and_exported(headrace: Run, flowers: Path, tmp_path: Path) -> None:
    headrace("models", "upload", "flowers", str(flowers))
    described = headrace("models", "describe", "flowers", "Which kind?")
    tagged = headrace("models", "tag", "flowers@1", "stage=prod", "data=june")
    found = headrace("models", "versions", "flowers", "--tag", "stage=prod", "--json")
    none = headrace("models", "list", "--tag", "stage=prod", "--json")
    archive = tmp_path / "flowers.zip"
    exported = headrace("models", "export", "flowers@1", "--output", str(archive), "--json")
    refused = headrace("models", "convert", "flowers@1")

    assert described.stdout.endswith(": Which kind?\n")
    assert set(tagged.stdout.split()) == {"flowers@1:", "data=june", "stage=prod"}
    assert [version["version"] for version in json.loads(found.stdout)["items"]] == [1]
    assert json.loads(none.stdout)["items"] == []
    assert json.loads(exported.stdout)["bytes"] == archive.stat().st_size
    with zipfile.ZipFile(archive) as opened:
        assert "MLmodel" in opened.namelist()
    assert (refused.returncode, "runtime onnx" in refused.stderr) == (1, True)
