"""What can go wrong when somebody signs up or in."""

from app.core.errors import (
    AppError,
    BadRequest,
    Conflict,
    Forbidden,
    Unauthorized,
    Unavailable,
    Unprocessable,
)


class UsernameTaken(Conflict):
    """This username is taken."""

    code = "username_taken"
    title = "Username taken"


class RegistrationClosed(Forbidden):
    """Registration is closed; ask the operator for an account."""

    code = "registration_closed"
    title = "Registration closed"


class WeakPassword(Unprocessable):
    """This password cannot be used: {reason}."""

    code = "weak_password"
    title = "Weak password"


class InvalidCredentials(Unauthorized):
    """The username or the password is wrong."""

    code = "invalid_credentials"


class InactiveUser(BadRequest):
    """This account is switched off."""

    code = "inactive_user"
    title = "Inactive user"


class TooManyAttempts(AppError):
    """Too many attempts from your network. Try again in {retry_after} seconds."""

    status = 429
    code = "too_many_attempts"
    title = "Too many attempts"

    @property
    def headers(self) -> dict[str, str]:
        """Say for how long."""
        return {"Retry-After": str(self.facts["retry_after"])}


class TooManySignIns(Unavailable):
    """Too many people are signing in at this moment; try again shortly."""

    code = "too_many_sign_ins"
