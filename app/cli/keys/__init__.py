"""`headrace keys`: API keys over HTTP."""
