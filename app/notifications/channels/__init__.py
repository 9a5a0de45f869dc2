"""Channels: how a subscription's events reach their receiver. One file each, one line in `registry`."""
