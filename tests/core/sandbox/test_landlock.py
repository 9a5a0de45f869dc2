"""A ruleset holds whatever its descriptor is, and is never passed over in silence."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.core.sandbox import landlock

_WITHOUT_STDIN = """
import os, sys
from pathlib import Path
from app.core import hardening
from app.core.sandbox import landlock

os.close(0)
ruleset = landlock.Ruleset(())
hardening.set_no_new_privs()
ruleset.allow_reading([Path(sys.argv[1])])
ruleset.enforce()
print(Path(sys.argv[1]).read_text())
try:
    print(Path(sys.argv[2]).read_text())
except PermissionError:
    print("refused")
"""


def test_rules_hold_in_a_process_whose_first_descriptor_they_are(tmp_path: Path) -> None:
    for name in ("own", "foreign"):
        (tmp_path / name).write_text(name)

    told = subprocess.run(
        [sys.executable, "-c", _WITHOUT_STDIN, tmp_path / "own", tmp_path / "foreign"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.split() == ["own", "refused" if landlock.version() else "foreign"]


def test_rules_that_were_given_up_are_not_enforced_in_silence() -> None:
    ruleset = landlock.Ruleset(())
    ruleset.close()

    with pytest.raises(RuntimeError, match="already enforced or closed"):
        ruleset.enforce()


# /dev/urandom is there on every machine, and answers RNDGETENTCNT of <linux/random.h>.
_DEVICE = """
import fcntl, sys
from pathlib import Path
from app.core import hardening
from app.core.sandbox import landlock

RNDGETENTCNT = 0x80045200
device = Path("/dev/urandom")
ruleset = landlock.Ruleset(())
hardening.set_no_new_privs()
getattr(ruleset, sys.argv[1])([device])
ruleset.enforce()
with device.open("rb") as opened:
    try:
        fcntl.ioctl(opened, RNDGETENTCNT, bytes(4))
        print("controlled")
    except PermissionError:
        print("read only")
"""

READ_ONLY = "read only" if landlock.version() >= 5 else "controlled"
"""Before version 5, Landlock lets each device that is opened be controlled."""


@pytest.mark.parametrize(("rule", "told"), [("allow_devices", "controlled"), ("allow_reading", READ_ONLY)])
def test_only_a_rule_for_devices_lets_a_process_control_one(rule: str, told: str) -> None:
    found = subprocess.run([sys.executable, "-c", _DEVICE, rule], capture_output=True, text=True, check=False)

    assert found.stdout.strip() == told, found.stderr
