#!/bin/sh
# Run by the Postgres image when its data folder is new: a login and a database for our services, and for Prefect.
set -eu
for name in datalab prefect; do
    # Through the environment, because arguments can be read by other processes.
    LOGIN="$name" SECRET="$(cat "${SECRETS_FOLDER:-/run/secrets}/postgres_${name}_password")" \
        psql --no-psqlrc -q -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv login LOGIN
\getenv secret SECRET
CREATE ROLE :"login" LOGIN PASSWORD :'secret';
CREATE DATABASE :"login" OWNER :"login";
REVOKE CONNECT ON DATABASE :"login" FROM PUBLIC;
SQL
done
