"""What holds for every module, style sheet and text of the dashboard."""

import gzip
import inspect
import json
import re
from pathlib import Path
from typing import Final

import pytest

import app.main  # noqa: F401  # imports every error
from app.audit.actions import Action, AuditOutcome
from app.auth.roles import Role
from app.core.errors import AppError
from app.dashboard import assets
from app.dashboard.assets import WEB
from app.jobs import explanations
from app.jobs.faults import SYSTEM, USER
from app.jobs.states import EventType
from app.notifications.states import NotificationType
from app.schedules import plan

MODULES: Final = sorted(path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js"))
LANGUAGES: Final = ("en", "zh-CN")
MAX_LINES: Final = 390

MAY_IMPORT: Final = {
    "pages": {"parts", "charts", "core", "words", "api", "live", "pages"},
    "parts": {"parts", "core", "words", "charts", "pages", "api"},
    "charts": {"charts", "parts", "core", "words"},
    "live": {"live", "api", "core"},
    "api": {"api", "core"},
    "words": {"words", "core"},
    "core": {"core", "parts", "pages", "api"},
}
"""The folders that modules of a folder may import."""

FORBIDDEN: Final = (
    r"\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.cssText"
    r"|setAttribute\(\s*.style|document\.cookie|https?://(?=[a-z])(?!www\.w3\.org/2000/svg)"
)


def words(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((WEB / "words" / f"{language}.json").read_text())
    return found


def used_keys() -> set[str]:
    """The keys that modules name in full."""
    sources = "\n".join((WEB / name).read_text() for name in MODULES)
    return set(re.findall(r'\bt\(\s*"([a-z][\w.]+)"', sources)) | set(
        re.findall(r'\b(?:count|nodes)\(\s*"([a-z][\w.]+)"', sources)
    )


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_small_imports_downwards_and_writes_no_markup(name: str) -> None:
    source = (WEB / name).read_text()
    folder = name.split("/")[0] if "/" in name else None

    assert len(source.splitlines()) <= MAX_LINES
    assert re.findall(FORBIDDEN, source) == []
    if name != "core/h.js":
        assert "createElement" not in source
    imported = re.findall(r'(?:from |import\()"([^"]+\.js)"', source)
    for target in imported:
        path = (WEB / name).parent.joinpath(target).resolve()
        assert path.is_file(), target
        if folder is not None:
            assert path.relative_to(WEB).parts[0] in MAY_IMPORT[folder], target


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    english, chinese = words("en"), words("zh-CN")

    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert text.strip(), key
        assert chinese[key].strip(), key
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", chinese[key])), key


def test_every_key_that_a_module_names_is_in_the_catalogue() -> None:
    english = words("en")

    missing = {key for key in used_keys() if key not in english and f"{key}.other" not in english}
    assert missing == set()


def test_every_text_of_the_catalogue_is_used() -> None:
    sources = "\n".join([*((WEB / name).read_text() for name in MODULES), inspect.getsource(assets)])
    named = set(re.findall(r"""["'`]([a-z][\w.]*)["'`]""", sources))
    prefixes = tuple(re.findall(r"`([a-z][\w.]*\.)\$\{", sources))

    texts = {re.sub(r"\.(one|other)$", "", key) for key in words("en")}
    assert {key for key in texts if key not in named and not key.startswith(prefixes)} == set()


def test_every_error_of_the_api_has_a_text() -> None:
    def codes(error: type[AppError]) -> set[str]:
        # Not those of plugins that other tests have loaded into this process.
        own = {error.code} if error.__module__.startswith("app.") else set()
        return own.union(*map(codes, error.__subclasses__()))

    ours = {code for code in codes(AppError) if code}
    assert {code for code in ours if f"code.{code}" not in words("en")} == set()


@pytest.mark.parametrize(
    ("prefix", "codes"),
    [
        ("event", [*EventType]),
        # What a handler raises says more than its code.
        ("fail", sorted((SYSTEM | USER) - {"handler_error", "handler_exit"})),
        ("audit", [*Action]),
        ("audit.outcome", [*AuditOutcome]),
        ("note.type", [*NotificationType]),
    ],
)
def test_every_code_that_a_page_shows_has_a_text(prefix: str, codes: list[str]) -> None:
    assert {code for code in codes if f"{prefix}.{code}" not in words("en")} == set()


def test_every_reason_for_the_state_of_a_job_has_a_text() -> None:
    told = "".join((WEB / name).read_text() for name in ("parts/outlook.js", "pages/job/why.js"))
    reasons = re.findall(r'Reason\(\s*"(\w+)"', inspect.getsource(explanations))

    assert len(reasons) >= 10
    assert {code for code in reasons if f"    {code}: () =>" not in told} == set()


def test_every_reason_of_a_schedule_has_a_text() -> None:
    reasons = re.findall(r'Reason\(\s*code="(\w+)"', inspect.getsource(plan))

    assert len(reasons) >= 5
    assert {code for code in reasons if f"sched.reason.{code}" not in words("en")} == set()


def test_the_audit_log_is_filtered_by_every_action_and_outcome() -> None:
    source = (WEB / "pages/admin/audit.js").read_text()
    lists = dict(re.findall(r"const (ACTIONS|OUTCOMES) = (\[[^]]*\]);", source))

    named = {name: re.findall(r'"([^"]+)"', found) for name, found in lists.items()}
    assert named == {"ACTIONS": [*Action], "OUTCOMES": [*AuditOutcome]}


def test_roles_are_those_of_the_api() -> None:
    source = (WEB / "api/rights.js").read_text()

    assert re.findall(r'"(\w+)"', source.partition("ROLES =")[2].partition(";")[0]) == [*Role]


def test_colours_stand_in_the_tokens_only() -> None:
    for path in assets.style_sheets():
        if path.name != "tokens.css":
            found = re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", path.read_text())
            assert set(found) <= {"#fff"}, path.name


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_can_be_read_on_every_ground(scheme: int) -> None:
    """The contrast that WCAG 2.2 asks for (1.4.3, 1.4.11)."""
    tokens = (WEB / "styles/tokens.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", tokens)
    colours = {name: (light, dark)[scheme] for name, light, dark in pairs}
    lowest = {"ink": 11.9, "ink-2": 7, "ink-3": 4.5, "accent": 4.5, "ok": 4.5, "bad": 4.5, "warn": 4.5}
    lowest |= {"edge": 3, "flow": 3, "past": 3}

    for name, ratio in lowest.items():
        for ground in ("canvas", "surface", "inset", "select"):
            assert contrast(colours[name], colours[ground]) >= ratio, (name, ground)


def test_it_is_small() -> None:
    loaded = assets.load()
    size = {name: len(asset.compressed) for name, asset in loaded.files.items()}
    first = {*assets.PRELOADED, "main.js", "boot.js"}

    assert size["styles.css"] <= 12_000
    assert max(size[f"words/{language}.json"] for language in LANGUAGES) <= 18_000
    assert sum(size[name] for name in closure(first)) <= 54_000
    assert sum(len(asset.content) for asset in loaded.files.values()) <= 740_000
    assert sum(size.values()) <= 260_000


def closure(names: set[str]) -> set[str]:
    """The modules with all that they import at once, and those of the overview."""
    todo, found = [*names, "pages/overview.js"], set[str]()
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for target in re.findall(r'^(?:import|export) .*?from "([^"]+)"', (WEB / name).read_text(), re.M):
            path: Path = (WEB / name).parent.joinpath(target).resolve()
            todo.append(path.relative_to(WEB).as_posix())
    return found


def contrast(one: str, other: str) -> float:
    lower, higher = sorted((luminance(one), luminance(other)))
    return (higher + 0.05) / (lower + 0.05)


def luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_gzip_is_reproducible() -> None:
    asset = assets.load().files["main.js"]

    assert gzip.compress(asset.content, mtime=0) == asset.compressed
