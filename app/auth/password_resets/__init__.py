"""Password resets: single-use tokens that set a new password, and the change of one's own."""
