"""Authentication: users, passwords and tokens."""
