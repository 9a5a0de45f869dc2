"""The filter's numbers are the kernel's, and its program is well formed on both architectures."""

import re
import struct
from pathlib import Path

import pytest

from app.core.sandbox import seccomp, syscalls
from app.core.sandbox.permissions import Permission

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
JUMPS = (0x15, 0x25)
RETURN = 0x06


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_are_those_of_the_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"this machine has no {header}")
    text = header.read_text()
    defined = {
        name: int(value)
        for name, value in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)$", text, re.MULTILINE)
    }

    for name in syscalls.NAMES:
        assert syscalls.number(name, machine) == defined.get(name), name


@pytest.mark.parametrize("machine", HEADERS)
@pytest.mark.parametrize("permissions", [frozenset(), frozenset(Permission)], ids=["none", "all"])
def test_every_jump_lands_within_the_program_and_every_path_returns(
    machine: str, permissions: frozenset[Permission]
) -> None:
    program = list(struct.iter_unpack("=HBBI", seccomp.compile_filter(machine, 4711, permissions)))

    assert len(program) <= 4096
    for place, (code, on_true, on_false, _) in enumerate(program):
        if code in JUMPS:
            assert place + 1 + max(on_true, on_false) < len(program)
    assert program[-1][0] == RETURN
