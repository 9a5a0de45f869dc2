"""The most expensive request bodies that a client can send."""

from collections.abc import Callable

MIB = 1024 * 1024
LIMIT_BYTES = 16 * MIB - 1024

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def repeated(
    start: bytes, part: bytes, end: bytes, size: int = LIMIT_BYTES, separator: bytes = b","
) -> bytes:
    """Return a body of about `size` bytes that repeats `part`."""
    count = (size - len(start) - len(end)) // (len(part) + len(separator))
    return start + separator.join([part] * count) + end


def members(size: int) -> bytes:
    """Return a JSON object with many unknown members."""
    count = size // 14
    return b"{" + b",".join(b'"k%07d":0' % number for number in range(count)) + b"}"


ROW = b"{" + b",".join(b'"c%d":1.5' % number for number in range(99)) + b"}"


def texts(text: bytes) -> bytes:
    """Return a request with the maximum number of texts, each as long as the size limit allows."""
    size = LIMIT_BYTES // 1000 - 10
    return repeated(b'{"texts":[', b'"%s"' % (text * (size // len(text))), b"]}")


INSTANCE = b'{"batch_size":1,"instances":[{"text":"a","more":['
"""`/predict` has no batch size: it would wait for a worker before it answers."""


def rows_of_quotes(start: bytes) -> bytes:
    """As many rows as are allowed, together as long as they can be."""
    return repeated(start, b'{"text":"%s","mood":"a"}' % (rb"\"" * 8370), b"]}")


SMALL: dict[str, Callable[[int], bytes]] = {
    "members": members,
    "numbers": lambda size: repeated(b"[", b"1", b"]", size),
    "objects": lambda size: repeated(b"[", b"{}", b"]", size),
    "brackets": lambda size: b"[" * size,
    "escapes": lambda size: repeated(b'{"username":"', b"\\u00e9", b'"}', size, b""),
}
ANONYMOUS = [("/users", JSON), ("/token", FORM), ("/token/refresh", JSON), ("/session", JSON)]
SIGNED_IN = ["/jobs/batch-predict", "/jobs/evaluate-model", "/jobs/train-model", "/jobs/bulk", "/predict"]

LARGE: dict[str, Callable[[], bytes]] = {
    "unknown members": lambda: members(LIMIT_BYTES),
    "a bare list of numbers": lambda: repeated(b"[", b"1", b"]"),
    "a bare list of objects": lambda: repeated(b"[", b"{}", b"]"),
    "instances that are numbers": lambda: repeated(b'{"instances":[', b"1", b"]}"),
    "instances that are empty": lambda: repeated(b'{"instances":[', b"{}", b"]}"),
    "instances with bad values": lambda: repeated(b'{"instances":[{"a":[', b"NaN", b"]}]}", 390_000),
    "instances with huge values": lambda: repeated(b'{"instances":[[', b"9" * 4000, b"]]}"),
    "a number without an end": lambda: b'{"instances":[[' + b"9" * LIMIT_BYTES + b"]]}",
    "texts that are numbers": lambda: repeated(b'{"texts":[', b"1", b"]}"),
    "texts that are long": lambda: texts(b"a"),
    "texts with commas": lambda: texts(b"a, "),
    "texts with one wide character": lambda: texts(b"a").replace(b"aaaa", "🙂".encode(), 900),
    "texts of wide characters": lambda: texts("🙂".encode()),
    "texts of escapes": lambda: texts(rb"\u00e9"),
    "texts of quotes": lambda: texts(rb"\""),
    "texts of backslashes": lambda: texts(rb"\\"),
    "an instance of many lists": lambda: repeated(INSTANCE, b"[]", b"]}]}", 147_000),
    "an instance of long numbers": lambda: repeated(INSTANCE, b"9" * 399, b"]}]}"),
    "an instance of long strings": lambda: repeated(INSTANCE, b'"%s"' % (rb"\"" * (2 * MIB - 1)), b"]}]}"),
    "rows of quotes": lambda: rows_of_quotes(b'{"model":"sentiment","target":"mood","rows":['),
    "rows of quotes to learn from": lambda: rows_of_quotes(b'{"target":"mood","rows":['),
    "jobs with quotes": lambda: repeated(
        b'{"jobs":[', b'{"kind":"batch_predict","texts":["%s"]}' % (rb"\"" * 8370), b"]}"
    ),
    "newlines": lambda: b"\n" * (LIMIT_BYTES - 1) + b"x",
    "few newlines": lambda: b"\n" * (MIB - 2) + b"x",
    "rows that are numbers": lambda: repeated(b'{"model":"sentiment","target":"a","rows":[', b"1", b"]}"),
    "rows with many values": lambda: repeated(
        b'{"target":"a","rows":[',
        ROW,
        b"]}",
        980_000,
    ),
    "jobs that are numbers": lambda: repeated(b'{"jobs":[', b"1", b"]}"),
    "jobs that are empty": lambda: repeated(b'{"jobs":[', b"{}", b"]}"),
    "jobs with a bad list": lambda: repeated(
        b'{"jobs":[{"kind":"batch_predict","texts":[', b"1", b"]}]}", 190_000
    ),
    "bad metadata": lambda: b'{"texts":["a"],"metadata":' + members(1_300_000) + b"}",
    "a search of many": lambda: b'{"target":"a","search":{"params":' + members(1_300_000) + b"}}",
    "brackets": lambda: b"[" * LIMIT_BYTES,
    "strings without commas": lambda: b'""' * (LIMIT_BYTES // 2),
    "spaces": lambda: b" " * LIMIT_BYTES,
}
