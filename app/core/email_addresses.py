"""E-mail addresses: which are accepted, and in which form. Nothing is looked up in DNS."""

from dataclasses import dataclass

MAX_ADDRESS_CHARACTERS = 254


@dataclass(frozen=True)
class Mailbox:
    """An address with the name that readers see beside it, which may be empty."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        """The part of the address after the @."""
        return domain_of(self.address)


def parse(address: str) -> str:
    """Return an address in the form in which it is sent: ASCII, with the domain in lower case.

    An internationalised domain becomes `xn--…`; the part before the @ must be ASCII, because many servers
    do not accept anything else. Raises ValueError, whose message says what is wrong.
    """
    return _parse(address).address


def parse_mailbox(text: str) -> Mailbox:
    """Return the address and the name of `Name <address>` or of an address alone. Raises ValueError."""
    return _parse(text, allow_name=True)


def domain_of(address: str) -> str:
    """Return the part of an address after the @."""
    return address.rpartition("@")[2]


def _parse(text: str, *, allow_name: bool = False) -> Mailbox:
    # Imported when the first address is checked: most processes never check one.
    from email_validator import EmailNotValidError, validate_email

    if any(not character.isprintable() for character in text):
        raise ValueError("An address must not have control characters.")
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            allow_display_name=allow_name,
            strict=True,  # the part before the @ has at most 64 characters
        )
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    address = found.ascii_email
    if address is None or len(address) > MAX_ADDRESS_CHARACTERS:
        raise ValueError("The address is too long.")
    return Mailbox(address, found.display_name or "")
