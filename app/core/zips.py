"""What `zipfile` raises for a damaged or malicious archive."""

import lzma
import zipfile
import zlib
from typing import Final

DAMAGED: Final = (
    zipfile.BadZipFile,  # wrong structure or checksum
    EOFError,  # truncated data
    zlib.error,  # invalid deflate data
    lzma.LZMAError,  # invalid LZMA data
    OSError,  # invalid bzip2 data, or an offset before the start of the file
    ValueError,  # an offset before the start of an inner archive, or a name that is not UTF-8
    RuntimeError,  # an encrypted member, or a method or version that zipfile does not support
)
"""All of these were observed. They have no common base class.

A disk raises OSError too: catch these only around reading.
"""
