"""Notifications: subscriptions, and the deliveries that tell their channels what happened."""
