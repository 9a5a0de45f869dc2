"""Paths that every sandboxed Python process may read: Python, its packages and some system files."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

_SYSTEM: Final = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/opt/homebrew"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/os-release", "/etc/mime.types"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf"),
    *("/etc/resolv.conf", "/etc/services", "/etc/protocols", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime"),
    *("/proc/filesystems", "/proc/version", "/proc/sys/vm", "/proc/sys/kernel/random"),
    *("/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup"),
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
)

PER_PROCESS: Final = (Path("/proc/self"),)
"""Paths that refer to a different file in each process, so that the process itself has to resolve them."""

WRITABLE_DEVICES: Final = (Path("/dev/null"),)

_GPU_DRIVERS: Final = (
    *("/proc/driver/nvidia", "/proc/devices", "/proc/modules"),
    *("/sys/bus/pci", "/sys/devices", "/sys/module/nvidia", "/sys/module/nvidia_uvm"),
)

_MODULE_SUFFIXES: Final = frozenset({".py", ".pyc", ".so"})


def installed() -> tuple[Path, ...]:
    """Return the system files, the Python installation and every package on the import path.

    Excludes the import path's folders themselves, because a checkout also contains `.env` and `.data`.
    """
    prefixes = [Path(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    found = [*map(Path, _SYSTEM), *prefixes]
    for entry in map(Path, filter(None, sys.path)):
        if not any(entry.is_relative_to(prefix) for prefix in prefixes):
            found += _importable(entry)
    for name, module in list(sys.modules.items()):
        if "." not in name:
            found += _module_paths(module)
    return _outermost(path.resolve() for path in found if _is_there(path))


def gpu_drivers() -> tuple[Path, ...]:
    """Return what the drivers of NVIDIA tell about their GPUs."""
    return tuple(map(Path, _GPU_DRIVERS))


def gpu_devices(devices: Path = Path("/dev")) -> tuple[Path, ...]:
    """Return the devices of all NVIDIA GPUs that this process sees."""
    return tuple(sorted(devices.glob("nvidia*")))


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Drop the paths that lie below another of the paths."""
    kept: list[Path] = []
    for path in sorted(set(paths)):  # a folder sorts directly before its content
        if not kept or not path.is_relative_to(kept[-1]):
            kept.append(path)
    return tuple(kept)


def _importable(folder: Path) -> Iterator[Path]:
    """Yield the modules and packages in a folder of the import path; the path itself if it is an archive."""
    if not _is_there(folder):
        return
    if folder.is_file():
        yield folder
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.suffix in _MODULE_SUFFIXES or _is_there(path / "__init__.py"):
            yield path


def _is_there(path: Path) -> bool:
    """Whether a path exists. One in a folder that this process may not search does not, as for `import`."""
    try:
        return path.exists()
    except PermissionError:
        return False


def _module_paths(module: ModuleType) -> Iterator[Path]:
    """Yield the paths a loaded module came from: its folders if it is a package, else its file."""
    try:
        yield from map(Path, module.__path__)
    except (AttributeError, TypeError):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            yield Path(file)
