"""What the intake of one upload may take, whatever its file is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """The defaults are those of production; tests pass others to `create_app`."""

    stall_seconds: float = 30.0
    """How long the client may send nothing at all."""
    conversion_seconds: float = 900.0
    """How long a conversion may take."""
    cpu_seconds: int = 60
    """The processor time of every conversion, and how much more each `cpu_bytes` of the file give it."""
    cpu_bytes: int = 2 * 1024 * 1024
    max_growth: int = 20
    """Rows may take this many times the bytes of their file, or `growth_grace_bytes`."""
    growth_grace_bytes: int = 64 * 1024 * 1024

    def output_bytes(self, size: int) -> int:
        """How large the rows of a file of this size may be."""
        return self.growth_grace_bytes + self.max_growth * size

    def cpu_seconds_for(self, size: int) -> int:
        """How much processor time the conversion of a file of this size has."""
        return self.cpu_seconds + size // self.cpu_bytes
