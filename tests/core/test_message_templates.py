"""Templates: whole in each language, safe with any value, and strict about the values."""

from pathlib import Path

import pytest

from app.core.message_templates import MAX_SUBJECT_CHARACTERS, Language, TemplateError, Templates
from app.jobs.kinds.send_email import TEMPLATES

HOSTILE = '<script>alert("x")</script> $message ${other} & \r\nBcc: eve@example.com'


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", TEMPLATES.names)
def test_every_template_is_there_in_each_language_with_the_same_values(name: str, language: Language) -> None:
    placeholders = TEMPLATES.placeholders(name, language)

    rendered = TEMPLATES.render(name, language, dict.fromkeys(placeholders, "value"))

    assert placeholders == TEMPLATES.placeholders(name, Language.ENGLISH)
    assert rendered.subject
    assert "value" in rendered.text
    assert "value" in rendered.html
    assert f'lang="{language}"' in rendered.html


def test_the_languages_differ() -> None:
    texts = {TEMPLATES.render("notification", language, {"message": "x"}) for language in Language}

    assert len({rendered.subject for rendered in texts}) == len(Language)
    assert len({rendered.html for rendered in texts}) == len(Language)


def write(folder: Path, *, txt: str, html: str = "<p>$name</p>") -> Templates:
    """A folder with one template."""
    (folder / "greeting.en.txt").write_text(txt)
    (folder / "greeting.en.html").write_text(html)
    return Templates(folder)


def test_a_value_is_inserted_as_plain_text(tmp_path: Path) -> None:
    templates = write(tmp_path, txt="Subject: To $name\n\nHello $name\n")

    rendered = templates.render("greeting", Language.ENGLISH, {"name": HOSTILE})

    assert "<script>" not in rendered.html
    assert "&lt;script&gt;" in rendered.html
    assert "$message ${other}" in rendered.html
    assert rendered.text == f"Hello {HOSTILE}\n"
    assert "\n" not in rendered.subject
    assert "\r" not in rendered.subject
    assert rendered.subject.startswith("To <script>")


def test_a_long_value_does_not_make_a_long_subject(tmp_path: Path) -> None:
    templates = write(tmp_path, txt="Subject: To $name\n\nHello $name\n")

    rendered = templates.render("greeting", Language.ENGLISH, {"name": "x" * 1000})

    assert len(rendered.subject) == MAX_SUBJECT_CHARACTERS


@pytest.mark.parametrize(
    ("values", "message"),
    [({}, "needs a value for: name"), ({"name": "a", "age": "3"}, "no place for: age")],
)
def test_the_values_must_be_those_of_the_template(
    tmp_path: Path, values: dict[str, str], message: str
) -> None:
    templates = write(tmp_path, txt="Subject: Hi\n\nHello $name\n")

    with pytest.raises(TemplateError, match=message):
        templates.render("greeting", Language.ENGLISH, values)


@pytest.mark.parametrize(
    ("name", "language", "txt", "message"),
    [
        ("absent", Language.ENGLISH, "Subject: Hi\n\nHello\n", "there is no template"),
        ("../greeting", Language.ENGLISH, "Subject: Hi\n\nHello\n", "there is no template"),
        ("greeting", Language.CHINESE, "Subject: Hi\n\nHello\n", "cannot be read"),
        ("greeting", Language.ENGLISH, "Hello\n", "its first line is not a subject"),
        ("greeting", Language.ENGLISH, "Subject: Hi\nBcc: x\n\nHello\n", "its first line is not a subject"),
        ("greeting", Language.ENGLISH, "Subject: Hi\n\nHello $ \n", "is broken"),
    ],
)
def test_a_broken_template_says_what_is_wrong(
    tmp_path: Path, name: str, language: Language, txt: str, message: str
) -> None:
    templates = write(tmp_path, txt=txt, html="")

    with pytest.raises(TemplateError, match=message):
        templates.render(name, language, {})
