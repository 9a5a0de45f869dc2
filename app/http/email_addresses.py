"""E-mail addresses in request bodies."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.core import email_addresses
from app.core.email_addresses import MAX_ADDRESS_CHARACTERS


def _check(value: str) -> str:
    try:
        return email_addresses.parse(value)
    except ValueError as error:
        # As a parameter: the message may contain braces of the address.
        raise PydanticCustomError("email_address", "{reason}", {"reason": str(error)}) from None


EmailAddress = Annotated[
    str,
    Field(min_length=3, max_length=MAX_ADDRESS_CHARACTERS, json_schema_extra={"format": "email"}),
    AfterValidator(_check),
]
"""An address without a name, in the form in which it is sent: see `app.core.email_addresses.parse`."""
