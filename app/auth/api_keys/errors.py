"""Errors of API keys."""

from app.core.errors import Conflict, Forbidden, NotFound, Unprocessable


class ApiKeyNotFound(NotFound):
    """You have no API key {key_id}."""

    code = "api_key_not_found"
    title = "API key not found"


class ScopeNotAllowed(Forbidden):
    """Your role {role} does not include everything that the scope `{scope}` permits."""

    code = "scope_not_allowed"
    title = "Scope not allowed"


class TooManyApiKeys(Conflict):
    """You have {limit} API keys, which is the limit. Revoke one that you no longer need."""

    code = "too_many_api_keys"
    title = "Too many API keys"


class ApiKeyLifetimeTooLong(Unprocessable):
    """An API key must expire within {limit} seconds."""

    code = "api_key_lifetime_too_long"
    title = "API key lifetime too long"
