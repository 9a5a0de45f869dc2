"""Invitations: single-use tokens that create an account."""
