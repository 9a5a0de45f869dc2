"""What keeps a command from starting."""


class CannotStart(Exception):
    """The command cannot do its work; the message says why, in a sentence for the terminal."""
