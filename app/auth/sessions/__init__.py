"""Sessions: list the sign-ins of a user, and end them."""
