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


class LastAdministrator(Conflict):
    """This is the last administrator who can sign in. Make another user an administrator first."""

    code = "last_administrator"
    title = "Last administrator"


class SessionNotFound(NotFound):
    """You have no open session {session_id}."""

    code = "session_not_found"
    title = "Session not found"


class InvitationNotFound(NotFound):
    """There is no invitation {invitation_id}: it has been used, revoked or has expired."""

    code = "invitation_not_found"
    title = "Invitation not found"


class InvitationNeeded(Forbidden):
    """Registration needs an invitation. Ask an administrator for one."""

    code = "invitation_needed"
    title = "Invitation needed"


class InvalidInvitation(Forbidden):
    """The invitation is not valid: it has been used, revoked or has expired. Ask for another one."""

    code = "invalid_invitation"
    title = "Invalid invitation"


class InvalidPasswordReset(BadRequest):
    """The reset token is not valid: it has been used or has expired. Ask an administrator for another one."""

    code = "invalid_password_reset"
    title = "Invalid password reset"


class WrongPassword(Forbidden):
    """The current password is wrong."""

    code = "wrong_password"
    title = "Wrong password"


class RegistrationClosed(Forbidden):
    """Registration is closed. Ask an administrator for an account."""

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
    """This account is disabled. Ask an administrator to enable it."""

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
