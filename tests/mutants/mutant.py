"""What a mutant is: one guard of the source taken away, and the tests that must miss it."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """`text` occurs once in the file and is replaced; at least one of `tests` must fail then."""

    name: str
    path: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def is_found_once(self, root: Path = ROOT) -> bool:
        return (root / self.path).read_text().count(self.text) == 1

    def apply(self, root: Path) -> None:
        """Change the source below `root`."""
        file = root / self.path
        source = file.read_text()
        assert source.count(self.text) == 1, f"{self.name}: its text is not in {self.path} exactly once"
        file.unlink()  # it may be a link to the file of another tree
        file.write_text(source.replace(self.text, self.replacement))
