"""Accounts: list, change, disable and delete them."""
