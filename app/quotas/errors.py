"""Errors of storage quotas."""

from app.core.errors import TooLarge

GIB = 1024**3


class QuotaExceeded(TooLarge):
    """Storage quota exceeded: {used_gib} of {limit_gib} GiB used. Delete datasets or models, let
    results expire, or ask an administrator to raise the quota."""

    code = "quota_exceeded"
    title = "Quota exceeded"

    def __init__(self, *, used: int, limit: int) -> None:
        super().__init__(used=used, limit=limit, used_gib=_gib(used), limit_gib=_gib(limit))
        self.detail = " ".join(self.detail.split())


class ModelQuotaExceeded(QuotaExceeded):
    """Model quota exceeded: {used_gib} of {limit_gib} GiB used. Delete model versions, or ask an
    administrator to raise the quota."""

    code = "model_quota_exceeded"
    title = "Model quota exceeded"


def _gib(size: int) -> str:
    digits = 1 if size >= GIB / 10 else 6
    return f"{size / GIB:.{digits}f}".rstrip("0").rstrip(".") if size else "0"
