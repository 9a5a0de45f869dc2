"""The core of Headrace: code shared by the API, the workers and the command line."""

import os

# Arrow reads this once, when it is first imported. Its default pool keeps what each thread has freed: the API
# grew by 55 MiB for a Parquet file of 3 MiB. The system's allocator gives it back, and is as fast here.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
