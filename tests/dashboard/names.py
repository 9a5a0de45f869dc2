"""Finds names in JavaScript modules that nothing declares, and imports that nothing uses.

The tokens of a module decide, without scopes: a name that is declared anywhere in a module counts as declared
in all of it. So what is found is wrong for certain; a name that is used outside of its scope is not found.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

KEYWORDS: Final = frozenset(
    """
    Infinity NaN arguments as async await break case catch class const continue debugger default
    delete do else export extends false finally for from function if import in instanceof let new
    null of return static super switch this throw true try typeof undefined var void while with
    yield
    """.split()  # noqa: SIM905  # it is read as a text
)

GLOBALS: Final = frozenset(
    """
    AbortController AbortSignal Array ArrayBuffer BigInt Blob Boolean BroadcastChannel CSS
    CustomEvent DOMException Date Element Error Event EventSource EventTarget File FileReader
    FinalizationRegistry FormData HTMLElement Headers Infinity IntersectionObserver Intl JSON Map
    Math MutationObserver NaN Node NodeFilter Number Object ProgressEvent Promise Proxy RangeError
    Reflect RegExp Request ResizeObserver Response Set String Symbol TextDecoder TextEncoder
    TypeError URL URLSearchParams Uint8Array WeakMap WeakRef WeakSet XMLHttpRequest addEventListener
    cancelAnimationFrame clearInterval clearTimeout console crypto customElements decodeURIComponent
    devicePixelRatio dispatchEvent document encodeURIComponent fetch getComputedStyle getSelection
    globalThis history innerHeight innerWidth isFinite isNaN localStorage location matchMedia
    navigation navigator parseFloat parseInt performance queueMicrotask removeEventListener
    reportError requestAnimationFrame requestIdleCallback scheduler screen scrollBy scrollTo scrollX
    scrollY self sessionStorage setInterval setTimeout structuredClone window
    """.split()  # noqa: SIM905  # it is read as a text
)
"""What browsers and the language declare."""

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>\d[\w.]*)
    |(?P<name>\#?[A-Za-z_$][\w$]*)
    |(?P<mark>\.\.\.|=>|\?\.(?!\d)|[{}()\[\];,:?.=!<>+\-*/%&|^~@])""",
    re.VERBOSE | re.DOTALL,
)
_REGEX: Final = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_VALUE_ENDS: Final = frozenset((")", "]", "}"))
_DECLARING: Final = frozenset(("const", "let", "var"))


@dataclass(frozen=True)
class Token:
    """A part of a module: its kind (`name`, `mark`, `string`, `number`, `regex`) and text."""

    kind: str
    text: str
    line: int


def tokens(source: str) -> list[Token]:
    """Return the tokens of a module; the text of a template is left out, what it contains in `${}` is not."""
    found: list[Token] = []
    place = 0
    depths: list[int] = []  # of the braces within each `${` that is open
    while place < len(source):
        line = source.count("\n", 0, place) + 1
        if source[place] == "`" or (source[place] == "}" and depths and depths[-1] == 0):
            if source[place] == "}":
                depths.pop()
                found.append(Token("mark", ")", line))
            place, is_open = _template(source, place + 1)
            if is_open:
                depths.append(0)
                found.append(Token("mark", "(", line))
            continue
        regex = _REGEX.match(source, place) if _may_be_regex(found) else None
        if regex is not None and not source.startswith(("//", "/*"), place):
            found.append(Token("regex", regex[0], line))
            place = regex.end()
            continue
        match = _TOKEN.match(source, place)
        if match is None:
            raise ValueError(f"line {line}: {source[place : place + 20]!r} is no token")
        place = match.end()
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match[0], line))
        if depths and match[0] in ("{", "}"):
            depths[-1] += 1 if match[0] == "{" else -1
    return found


def _template(source: str, place: int) -> tuple[int, bool]:
    """Return where the text of a template ends, and whether `${` follows it."""
    while source[place] != "`":
        if source.startswith("${", place):
            return place + 2, True
        place += 2 if source[place] == "\\" else 1
    return place + 1, False


def _may_be_regex(before: list[Token]) -> bool:
    if not before:
        return True
    last = before[-1]
    if last.kind == "mark":
        return last.text not in _VALUE_ENDS
    return last.kind == "name" and last.text in ("return", "case", "typeof", "of", "in")


def imports(source: str) -> Iterator[tuple[str, str, str]]:
    """Yield the names that a module imports: the file, the name there, and the name here."""
    for names, file in re.findall(r'^import \{([^}]*)\} from "([^"]+)"', source, re.MULTILINE):
        for name in filter(None, (part.strip() for part in names.split(","))):
            there, _, here = name.partition(" as ")
            yield file, there, here or there


def exports(source: str) -> set[str]:
    """Return the names that a module exports."""
    found = set(re.findall(r"^export (?:async )?(?:function\*?|class|const|let) (\w+)", source, re.MULTILINE))
    for names in re.findall(r"^export \{([^}]*)\}", source, re.MULTILINE):
        found |= {part.strip().split(" as ")[-1] for part in names.split(",") if part.strip()}
    return found


def unused(source: str) -> set[str]:
    """Return the imported names that the rest of the module does not mention."""
    mentioned = [token.text for token in tokens(source) if token.kind == "name"]
    return {here for _, _, here in imports(source) if mentioned.count(here) < 2}


def undeclared(source: str) -> set[tuple[str, int]]:
    """Return the names that a module uses without a declaration anywhere in it, with their lines."""
    found = tokens(source)
    pairs = _pairs(found)
    declared = {*GLOBALS, *KEYWORDS, *_declared(found, pairs)}
    return {
        (token.text, token.line)
        for index, token in enumerate(found)
        if token.kind == "name" and token.text not in declared and _is_used(found, index)
    }


def _is_used(found: list[Token], index: int) -> bool:
    """Whether the name stands for a value: it is no member, key, method or private name."""
    name = found[index].text
    before = found[index - 1].text if index else ""
    after = found[index + 1].text if index + 1 < len(found) else ""
    is_key = after == ":" and before in ("{", ",", "(")
    if name in ("get", "set") and found[index + 1].kind == "name":
        return False  # of an accessor
    return not (name.startswith("#") or before in (".", "?.") or is_key)


def _pairs(found: list[Token]) -> dict[int, int]:
    """Return for each bracket the index of the one that belongs to it."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(found):
        if token.kind != "mark":
            continue
        if token.text in ("(", "[", "{"):
            opened.append(index)
        elif token.text in _VALUE_ENDS:
            start = opened.pop()
            pairs[start], pairs[index] = index, start
    return pairs


def _declared(found: list[Token], pairs: dict[int, int]) -> Iterator[str]:
    def names(start: int, end: int) -> Iterator[str]:
        return (token.text for token in found[start:end] if token.kind == "name")

    for index, token in enumerate(found):
        after = found[index + 1] if index + 1 < len(found) else token
        match token.text:
            case "import" if after.text == "{":
                yield from names(index + 1, pairs[index + 1])
            case "const" | "let" | "var" if token.kind == "name":
                yield from _variables(found, pairs, index + 1)
            case "class" | "function" if after.kind == "name":
                yield after.text
            case "=>":
                start = pairs.get(index - 1, index - 1)
                yield from names(start, index)
            case "(" if pairs[index] + 1 < len(found) and found[pairs[index] + 1].text == "{":
                before = found[index - 1].text
                if before in ("catch", "function", "*") or before not in KEYWORDS:
                    yield from names(index - 1, pairs[index])
        if token.text == "class" and (after.kind == "name" or after.text == "{"):
            body = next(place for place in range(index, len(found)) if found[place].text == "{")
            yield from _members(found, pairs, body)


def _variables(found: list[Token], pairs: dict[int, int], place: int) -> Iterator[str]:
    """Yield the names that a declaration declares, which begins at a place."""
    while True:
        end = pairs.get(place, place)
        yield from (token.text for token in found[place : end + 1] if token.kind == "name")
        place = end + 1
        while place < len(found) and found[place].text not in (",", ";", "of", "in", ")", "}"):
            place = pairs.get(place, place) + 1
        if place >= len(found) or found[place].text != ",":
            return
        place += 1


def _members(found: list[Token], pairs: dict[int, int], body: int) -> Iterator[str]:
    """Yield the names of the fields and methods of a class."""
    place = body + 1
    is_first = True
    while place < pairs[body]:
        token = found[place]
        if token.kind == "name" and is_first:
            yield token.text
        is_first = token.text in (";", "}", "static", "async", "get", "set") or (
            token.text == "{" and found[pairs[place]].text == "}"
        )
        place = pairs.get(place, place) + 1
