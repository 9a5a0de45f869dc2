"""`headrace subscriptions`: notifications over HTTP."""
