"""Errors of signing up and signing in."""

from app.core.errors import (
    AppError,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    Unauthorized,
    Unavailable,
    Unprocessable,
)


class UsernameTaken(Conflict):
    """This username is taken. Choose another one."""

    code = "username_taken"
    title = "Username taken"


class UserNotFound(NotFound):
    """There is no user {user}."""

    code = "user_not_found"
    title = "User not found"


class RegistrationClosed(Forbidden):
    """Registration is closed. Ask the operator for an account."""

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
    """This account is deactivated. Ask the operator to activate it."""

    code = "inactive_user"
    title = "Inactive user"


class TooManyAttempts(AppError):
    """Too many attempts from your network. Try again in {retry_after} seconds."""

    status = 429
    code = "too_many_attempts"
    title = "Too many attempts"

    @property
    def headers(self) -> dict[str, str]:
        """The time to wait."""
        return {"Retry-After": str(self.facts["retry_after"])}


class TooManySignIns(Unavailable):
    """Too many users are signing in right now. Try again in a moment."""

    code = "too_many_sign_ins"
