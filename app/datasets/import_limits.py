"""Time and size limits of importing one upload."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """Limits of one import. The defaults are for production; tests pass others to `create_app`."""

    stall_seconds: float = 30.0
    """How long the client may pause."""
    conversion_seconds: float = 900.0
    """Timeout of a conversion."""
    cpu_seconds: int = 60
    """CPU time of a conversion: this many seconds, plus one for each `cpu_bytes` of the file."""
    cpu_bytes: int = 2 * 1024 * 1024
    max_growth: int = 20
    """The Parquet file may be this many times as large as the upload, plus `growth_grace_bytes`."""
    growth_grace_bytes: int = 64 * 1024 * 1024

    def output_bytes(self, size: int) -> int:
        """Size limit of the Parquet file of an upload of this size."""
        return self.growth_grace_bytes + self.max_growth * size

    def cpu_seconds_for(self, size: int) -> int:
        """CPU time limit of the conversion of an upload of this size."""
        return self.cpu_seconds + size // self.cpu_bytes
