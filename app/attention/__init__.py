"""What needs the attention of a user, drawn from all domains."""
