"""The guards of e-mail: to whom it goes, how it is encrypted, and what becomes of a message."""

from typing import Final

from tests.mutants.mutant import Mutant

MAIL: Final = "app/core/mail.py"
KIND: Final = "app/jobs/kinds/send_email.py"
HANDLER: Final = "worker/handlers/send_email.py"
INSIDE: Final = "worker/children/inside.py"


def _mailer(test: str) -> tuple[str, ...]:
    return (f"tests/core/test_mail.py::{test}",)


def _request(test: str) -> tuple[str, ...]:
    return (f"tests/jobs/kinds/test_send_email.py::{test}",)


def _job(test: str) -> tuple[str, ...]:
    return (f"tests/worker/handlers/test_send_email.py::{test}",)


def _inside(test: str) -> tuple[str, ...]:
    return (f"tests/worker/children/test_inside.py::{test}",)


MAIL_GUARDS: Final = (
    Mutant(
        "mail: any domain is written to",
        KIND,
        "if email_addresses.domain_of(recipient) not in allowed:",
        "if False:",
        _request("test_only_domains_of_the_list_are_written_to"),
    ),
    Mutant(
        "mail: only the first recipient is checked",
        KIND,
        "for recipient in [request.to] if isinstance(request.to, str) else request.to:",
        "for recipient in [request.to] if isinstance(request.to, str) else request.to[:1]:",
        _request("test_only_domains_of_the_list_are_written_to"),
    ),
    Mutant(
        "mail: accepted without a server",
        KIND,
        "    if not settings.sends_mail:",
        "    if False:",
        _request("test_without_a_server_nothing_is_accepted"),
    ),
    Mutant(
        "mail: what settings do not allow is created",
        "app/jobs/service.py",
        "    kind.admit(request, settings)\n",
        "",
        ("tests/jobs/emails/test_http.py::test_a_refused_request_creates_nothing",),
    ),
    Mutant(
        "mail: a subject has line breaks",
        KIND,
        "    if not text.is_one_line(subject) or not subject.strip():",
        "    if not subject.strip():",
        _request("test_what_cannot_be_sent_is_refused"),
    ),
    Mutant(
        "mail: a header has line breaks",
        "app/core/text.py",
        '_NOT_IN_A_LINE: Final = frozenset({"Cc", "Zl", "Zp", "Cs"})',
        "_NOT_IN_A_LINE: Final = frozenset[str]()",
        _mailer("test_no_value_can_add_a_header_or_a_recipient"),
    ),
    Mutant(
        "mail: an address is not ASCII",
        "app/core/email_addresses.py",
        "allow_smtputf8=False,",
        "allow_smtputf8=True,",
        (
            "tests/core/test_email_addresses.py"
            "::test_characters_before_the_at_sign_that_are_not_ascii_are_refused_as_such",
        ),
    ),
    Mutant(
        "mail: in the clear if the server offers no STARTTLS",
        MAIL,
        "start_tls=server.security is SmtpSecurity.STARTTLS,",
        "start_tls=None,",
        _mailer("test_nothing_is_sent_in_the_clear_if_the_server_offers_no_starttls"),
    ),
    Mutant(
        "mail: a refused sign-in is the message's fault",
        MAIL,
        "                if refusal.code in OF_THE_SERVER:",
        "                if False:",
        _mailer("test_a_server_that_wants_a_sign_in_has_decided_nothing"),
    ),
    Mutant(
        "mail: every refusal is final",
        MAIL,
        "is_final=refusal.code >= 500)",
        "is_final=True)",
        _mailer("test_a_refusal_is_final_or_for_now_as_its_code_says"),
    ),
    Mutant(
        "mail: the reply names the recipient",
        MAIL,
        '.replace(recipient, "<recipient>")',
        "",
        _mailer("test_a_refusal_is_final_or_for_now_as_its_code_says"),
    ),
    Mutant(
        "mail: a dead server is tried by all",
        MAIL,
        "return away if self._clock() < until else None",
        "return None",
        _mailer("test_a_server_that_never_answers_is_away_and_is_not_tried_by_all"),
    ),
    Mutant(
        "mail: a connection is used again although the server has closed it",
        MAIL,
        "            if await connection.is_usable():",
        "            if True:",
        _mailer("test_an_idle_connection_that_the_server_has_closed_loses_no_message"),
    ),
    Mutant(
        "mail: the rest of a cancelled message is on the connection",
        MAIL,
        "            connection.close()  # the server may still answer the command that was given up",
        "            self._keep(connection)",
        _mailer("test_a_cancelled_message_leaves_no_connection_that_the_next_one_could_meet"),
    ),
    Mutant(
        "mail: a server that is away costs a failure",
        HANDLER,
        "            return Yielded(delay_seconds=away_seconds(job))",
        '            raise JobError("mail_deferred", "away")',
        _job("test_a_server_that_is_away_for_an_hour_costs_no_failure_and_no_message"),
    ),
    Mutant(
        "mail: a job that was put off is due at once",
        "app/jobs/transitions.py",
        "        pending_event=EventType.RELEASED,\n        delays_seconds=[delay_seconds],\n",
        "        pending_event=EventType.RELEASED,\n",
        _job("test_a_server_that_is_away_for_an_hour_costs_no_failure_and_no_message"),
    ),
    Mutant(
        "mail: each attempt has a Message-ID of its own",
        HANDLER,
        "id=str(job.id),",
        'id=f"{job.id}-{job.attempt}-{id(job)}",',
        _job("test_a_message_that_is_accepted_completes_its_job"),
    ),
    Mutant(
        "inside: a killed handler goes on",
        INSIDE,
        "            if self._task is not None:\n                self._task.cancel()\n\n    def _died",
        "\n    def _died",
        _job("test_a_message_that_takes_too_long_fails_its_attempt"),
    ),
    Mutant(
        "inside: a handler that was killed before its start runs",
        INSIDE,
        "                if self._killed.is_set():\n                    self._task.cancel()",
        "",
        _inside("test_a_handler_that_is_killed_before_its_start_does_not_run"),
    ),
    Mutant(
        "inside: a handler outlives its attempt",
        INSIDE,
        "            self._task.cancel()\n            await asyncio.wait((self._task,))\n\n    def send",
        "            pass\n\n    def send",
        _inside("test_leaving_the_attempt_stops_its_handler"),
    ),
    Mutant(
        "hardening: children get the password of the SMTP server",
        "app/core/hardening.py",
        '        "SMTP_USERNAME",\n',
        "",
        ("tests/core/test_hardening.py::test_a_hardened_worker_has_no_secrets_and_is_closed_to_its_user",),
    ),
    Mutant(
        "groups: the list of another group",
        "app/jobs/selecting.py",
        "        column.group_id: wanted.group_id,\n",
        "",
        ("tests/jobs/emails/test_http.py::test_recipients_become_a_group_that_can_be_listed",),
    ),
)
