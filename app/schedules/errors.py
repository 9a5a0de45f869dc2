"""The errors of schedules. Each docstring is the detail that the user reads."""

from app.core.errors import AppError, Conflict, NotFound, TooLarge, Unprocessable


def invalid_field(name: str, message: str) -> Unprocessable:
    """Return the error of one field of a body, as validation reports it."""
    return Unprocessable(errors=[{"loc": ["body", name], "msg": message, "type": "value_error"}])


class ScheduleNotFound(NotFound):
    """There is no schedule {schedule!r}."""

    code = "schedule_not_found"
    title = "Schedule not found"


class ScheduleGroupNotFound(NotFound):
    """There is no schedule group {group!r}."""

    code = "schedule_group_not_found"
    title = "Schedule group not found"


class ScheduleNameTaken(Conflict):
    """You already have a schedule named {name!r}. Choose another name, or replace it with PUT."""

    code = "schedule_name_taken"
    title = "Schedule name taken"


class TooManySchedules(Conflict):
    """You have {schedules} schedules; the limit is {limit}. Delete one, or ask an administrator for more."""

    code = "too_many_schedules"
    title = "Too many schedules"


class ScheduleBusy(Conflict):
    """A job of this schedule is pending or running. Wait for its end, or run another with `force`."""

    code = "schedule_busy"
    title = "Schedule busy"


class ScheduleTimePassed(Conflict):
    """The only time of this schedule, {at}, has passed. Give it another time, or run it now."""

    code = "schedule_time_passed"
    title = "Schedule time passed"


class ScheduleFinished(Conflict):
    """This schedule has finished: it never fires again. Change its trigger, its end or its `max_runs`."""

    code = "schedule_finished"
    title = "Schedule finished"


class RevisionMismatch(AppError):
    """The schedule has changed: its ETag is {etag}. Read it again, and send the change with that ETag."""

    status = 412
    code = "revision_mismatch"
    title = "Revision mismatch"

    @property
    def headers(self) -> dict[str, str]:
        """Name the current revision."""
        return {**super().headers, "ETag": str(self.facts["etag"])}


class BadCron(Unprocessable):
    """The cron expression is invalid: {reason}."""

    code = "bad_cron"
    title = "Bad cron expression"


class UnknownTimezone(Unprocessable):
    """There is no time zone {timezone!r}. Name one of the IANA database, such as Europe/Berlin."""

    code = "unknown_timezone"
    title = "Unknown time zone"


class NeverFires(Unprocessable):
    """The schedule would never fire: no time of its trigger lies within its window."""

    code = "never_fires"
    title = "Never fires"


class InThePast(Unprocessable):
    """The time {at} has passed. Give a later one, or `in_seconds`."""

    code = "in_the_past"
    title = "In the past"


class NonexistentTime(Unprocessable):
    """The time {at} does not exist in {timezone}: clocks go from {before} directly to {after}."""

    code = "nonexistent_time"
    title = "Nonexistent time"


class StartInTemplate(Unprocessable):
    """The job of a schedule cannot have `{field}`: the trigger decides when it starts."""

    code = "start_in_template"
    title = "Start in template"


class ResubmissionInTemplate(StartInTemplate):
    """The job of a schedule cannot have `{field}`: each tick submits a new job."""


class NotOneJob(Unprocessable):
    """The job of a schedule must be one job: no search, no folds, and no e-mail to several recipients."""

    code = "not_one_job"
    title = "Not one job"


class TemplateTooLarge(TooLarge):
    """The job of a schedule has {got} bytes as JSON; the limit is {limit}. Upload its rows as a dataset."""

    code = "template_too_large"
    title = "Template too large"


class TemplateInvalid(Unprocessable):
    """The job of the schedule is no longer valid: {reason}. Change it."""

    code = "template_invalid"
    title = "Template invalid"


class KindUnknown(Unprocessable):
    """The job of the schedule has the kind {kind!r}, which this server does not know."""

    code = "kind_unknown"
    title = "Kind unknown"


class ScheduleBroken(Conflict):
    """The next time of this schedule cannot be computed: {reason}. Change its trigger or its time zone."""

    code = "schedule_broken"
    title = "Schedule broken"


class FunctionNotRegistered(Unprocessable):
    """Function not registered: {function}. Registered functions: {functions}"""

    code = "function_not_registered"
    title = "Function not registered"


class ArgumentsByPosition(Unprocessable):
    """Functions take no arguments by position. Name each of them in `kwargs`, and leave `args` empty."""

    code = "arguments_by_position"
    title = "Arguments by position"
