"""Sandbox for processes that load user files: seccomp, Landlock, resource limits, no capabilities.

Linux only: seccomp needs x86_64 or aarch64, Landlock needs kernel 5.13. Where a mechanism is missing,
applying it does nothing; `docs/security.md` lists which protections then remain.
"""
