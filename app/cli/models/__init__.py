"""`headrace models`: models and their versions over HTTP."""
