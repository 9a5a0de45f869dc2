"""API keys: long-lived credentials of services, with scopes."""
