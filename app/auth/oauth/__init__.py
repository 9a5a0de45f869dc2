"""The token endpoint of OAuth 2 (RFC 6749), for programs: passwords and refresh tokens."""
