"""The roles of the embedded Postgres: the application, which is not a superuser, and the administrator.

Passwords are generated once and stored next to the data, readable only by its owner. Postgres and its log get
SCRAM verifiers, from which a password cannot be computed (RFC 5802, RFC 7677).
"""

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

SUPERUSER: Final = "postgres"
APPLICATION: Final = "headrace"

HBA: Final = """\
# Written by Headrace. Every role signs in with a password; nothing comes over the network.
local all all scram-sha-256
"""

_ITERATIONS: Final = 1
"""Iterations slow down the guessing of short passwords, and every connection. These have 256 random bits."""

# Objects that belong to the superuser, as in older versions, get the application as owner. One line, as
# single-user mode reads statements.
_TAKE_OVER: Final = """DO $$ DECLARE thing record; BEGIN
FOR thing IN SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relowner = 10 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema)'
LOOP EXECUTE format('ALTER TABLE %s OWNER TO headrace', thing.name); END LOOP;
FOR thing IN SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relowner = 10 AND c.relkind = 'S' AND n.nspname !~ '^(pg_|information_schema)'
LOOP EXECUTE format('ALTER SEQUENCE %s OWNER TO headrace', thing.name); END LOOP;
FOR thing IN SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proowner = 10 AND n.nspname !~ '^(pg_|information_schema)'
LOOP EXECUTE format('ALTER ROUTINE %s OWNER TO headrace', thing.name); END LOOP;
FOR thing IN SELECT t.oid::regtype AS name FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typowner = 10 AND t.typtype IN ('e', 'd') AND n.nspname !~ '^(pg_|information_schema)'
LOOP EXECUTE format('ALTER TYPE %s OWNER TO headrace', thing.name); END LOOP;
FOR thing IN SELECT quote_ident(nspname) AS name FROM pg_namespace
WHERE nspowner = 10 AND nspname !~ '^(pg_|information_schema)'
LOOP EXECUTE format('ALTER SCHEMA %s OWNER TO headrace', thing.name); END LOOP;
END $$"""


def password(data_dir: Path, role: str) -> str:
    """The password of a role; generated at the first call."""
    path = data_dir / f"{role}-password"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32))
    return path.read_text(encoding="ascii")


def statements(data_dir: Path) -> str:
    """The statements for single-user mode, one per line; safe to repeat."""
    lines = [
        f"DO $$ BEGIN CREATE ROLE {APPLICATION}; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER ROLE {APPLICATION} LOGIN NOSUPERUSER CREATEDB NOCREATEROLE"
        f" PASSWORD '{verifier(password(data_dir, APPLICATION))}'",
        f"ALTER ROLE {SUPERUSER} PASSWORD '{verifier(password(data_dir, SUPERUSER))}'",
        f"ALTER DATABASE postgres OWNER TO {APPLICATION}",
        " ".join(_TAKE_OVER.split("\n")),
    ]
    return "".join(f"{line}\n" for line in lines)


def verifier(text: str) -> str:
    """The SCRAM verifier that Postgres stores for a password."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", text.encode(), salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    encoded_salt, encoded_stored, encoded_server = parts
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded_salt}${encoded_stored}:{encoded_server}"
