#!/bin/sh
# Gives the roles of roles.sql the passwords that the Secret `postgres` holds.
for role in owner app autoscaler readonly; do
    password="$(printenv "$(printf '%s_PASSWORD' "$role" | tr '[:lower:]' '[:upper:]')")"
    psql -v ON_ERROR_STOP=1 -v role="headrace_$role" -v password="$password" -d "$POSTGRES_DB" -U "$POSTGRES_USER" \
        <<'SQL'
ALTER ROLE :"role" PASSWORD :'password';
SQL
done
