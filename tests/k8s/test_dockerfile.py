"""The image: what a linter says of its Dockerfile, and what the manifests count on."""

import re
import subprocess
import sys
from pathlib import Path

from app.core.version import VERSION
from tests.k8s.rendering import main_container, named, pod, rendered
from tests.support.processes import ROOT

FILE = ROOT / "Dockerfile"
TEXT = FILE.read_text(encoding="utf-8")


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"

    done = subprocess.run([hadolint, "--no-color", FILE], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_both_stages_are_built_on_the_same_base() -> None:
    assert re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE) == ["${BASE}", "${BASE}"]


def test_its_version_is_that_of_the_code() -> None:
    assert f"ARG VERSION={VERSION}\n" in TEXT


def test_its_user_is_that_of_the_pods() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", TEXT, re.MULTILINE)
    context = pod(named(rendered("production"), "Deployment", "headrace-api"))["securityContext"]

    assert tuple(map(int, user)) == (context["runAsUser"], context["runAsGroup"])


def test_the_claim_is_mounted_where_the_image_keeps_files() -> None:
    (url,) = re.findall(r"STORAGE_URL=(file:\S+)", TEXT)
    mounts = main_container(named(rendered("dev"), "Deployment", "headrace-worker"))["volumeMounts"]

    assert url.removeprefix("file://") in {mount["mountPath"] for mount in mounts}
