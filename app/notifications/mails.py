"""What e-mails about notifications say, in each language.

They quote users only in the text. No header has a user's text: the subject counts, and names kinds of jobs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from app.core.message_templates import Language, Rendered, Templates
from app.notifications.bodies import Notice
from app.notifications.states import NotificationType

MAX_LINES: Final = 100
MAX_QUOTED_CHARACTERS: Final = 300

TEMPLATES: Final = Templates(Path(__file__).parent / "templates")


@dataclass(frozen=True)
class _Words:
    """The words of one language that the templates do not have."""

    ended: str
    one: str
    schedules: str
    schedule: str
    other: str
    more: str
    took: str
    types: Mapping[str, str]
    separator: str = ", "


_WORDS: Final = {
    Language.ENGLISH: _Words(
        ended="{count} job events: {parts}",
        one="Job {type}: {kind}",
        schedules="{count} schedule events: {parts}",
        schedule="Schedule {type}",
        other="{count} other events",
        more="… and {count} more",
        took="{seconds:.0f} s after it was created",
        types={},
    ),
    Language.CHINESE: _Words(
        ended="{count} 个任务事件：{parts}",
        one="任务{type}：{kind}",
        schedules="{count} 个计划事件：{parts}",
        schedule="计划{type}",
        other="{count} 个其他事件",
        more="……以及另外 {count} 个",
        took="创建后 {seconds:.0f} 秒",
        types={
            "started": "已开始",
            "retrying": "将重试",
            "completed": "已完成",
            "failed": "失败",
            "cancelled": "已取消",
            "refused": "被拒绝",
            "missed": "已错过",
            "paused": "已暂停",
            "finished": "已结束",
            "broken": "已失效",
        },
        separator="，",
    ),
}


def events(notices: Sequence[Notice], name: str, unsubscribe: str, language: Language) -> Rendered:
    """Return the mail about events of one subscription: of one, or of all that were gathered."""
    words = _WORDS[language]
    lines = [_line(notice, words) for notice in notices[:MAX_LINES]]
    if len(notices) > MAX_LINES:
        lines.append(words.more.format(count=len(notices) - MAX_LINES))
    values = {
        "summary": _summary(notices, words),
        "lines": "\n\n".join(lines),
        "name": _quoted(name),
        "unsubscribe": unsubscribe,
    }
    return TEMPLATES.render("events", language, values)


def confirm(name: str, link: str, unsubscribe: str, language: Language) -> Rendered:
    """Return the mail that asks an address for its confirmation."""
    values = {"name": _quoted(name), "link": link, "unsubscribe": unsubscribe}
    return TEMPLATES.render("confirm", language, values)


def test(name: str, unsubscribe: str, language: Language) -> Rendered:
    """Return the mail by which a user tests a subscription."""
    return TEMPLATES.render("test", language, {"name": _quoted(name), "unsubscribe": unsubscribe})


def _summary(notices: Sequence[Notice], words: _Words) -> str:
    of_jobs = [notice for notice in notices if notice.type.is_of_job]
    of_schedules = [notice for notice in notices if notice.type.is_of_schedule]
    others = len(notices) - len(of_jobs) - len(of_schedules)
    parts = []
    if len(of_jobs) == 1:
        [notice] = of_jobs
        parts.append(words.one.format(type=_type(notice.type, words), kind=notice.data["kind"]))
    elif of_jobs:
        parts.append(words.ended.format(count=len(of_jobs), parts=_counted(of_jobs, words)))
    if len(of_schedules) == 1:
        [notice] = of_schedules
        parts.append(words.schedule.format(type=_type(notice.type, words)))
    elif of_schedules:
        parts.append(words.schedules.format(count=len(of_schedules), parts=_counted(of_schedules, words)))
    if others:
        parts.append(words.other.format(count=others))
    return words.separator.join(parts)


def _counted(notices: Sequence[Notice], words: _Words) -> str:
    counts = Counter(notice.type for notice in notices)
    return words.separator.join(f"{count} {_type(of, words)}" for of, count in counts.most_common())


def _line(notice: Notice, words: _Words) -> str:
    """Return what one event says: its headline and its facts, a line each."""
    facts = [f"{name}: {_quoted(value)}" for name, value in notice.facts]
    return "\n".join([_headline(notice, words), *facts])


def _headline(notice: Notice, words: _Words) -> str:
    if notice.type.is_of_schedule:
        return f"{words.schedule.format(type=_type(notice.type, words))}: {_quoted(notice.data['name'])}"
    if not notice.type.is_of_job:
        return _quoted(notice.headline)
    created_at = datetime.fromisoformat(notice.data["created_at"])
    took = words.took.format(seconds=(notice.at - created_at).total_seconds())
    return f"{words.one.format(type=_type(notice.type, words), kind=notice.data['kind'])} ({took})"


def _type(notification: NotificationType, words: _Words) -> str:
    event = notification.partition(".")[2]
    return words.types.get(event, event)


def _quoted(text: str) -> str:
    """Return a user's text on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_QUOTED_CHARACTERS else f"{line[: MAX_QUOTED_CHARACTERS - 1]}…"
