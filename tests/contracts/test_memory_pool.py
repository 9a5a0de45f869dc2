import subprocess
import sys

PROGRAM = "import app.main, pyarrow; print(pyarrow.default_memory_pool().backend_name)"


def test_the_api_gives_freed_arrow_memory_back_to_the_system() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "system"
