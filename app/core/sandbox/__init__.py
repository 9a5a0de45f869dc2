"""Confinement of processes that run what users have sent: seccomp, Landlock, limits, no capabilities.

All of it exists on Linux only, seccomp on x86_64 and aarch64, Landlock from kernel 5.13. Where a mechanism is
missing, applying it does nothing; `docs/security.md` states what then remains.
"""
