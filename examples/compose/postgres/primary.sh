#!/bin/sh
# Once, in a new primary: the gateway's role, which is no superuser, and what a replica connects with.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname "$POSTGRES_DB" \
  --set shard_password="$SHARD_PASSWORD" --set replication_password="$REPLICATION_PASSWORD" <<'SQL'
CREATE ROLE quarry LOGIN PASSWORD :'shard_password';
SELECT format('ALTER DATABASE %I OWNER TO quarry', current_database()) \gexec
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication_password';
-- Keeps the log that the replica has not read yet, up to max_slot_wal_keep_size.
DO $$ BEGIN PERFORM pg_create_physical_replication_slot('replica'); END $$;
SQL
echo "host replication replicator all scram-sha-256" >>"$PGDATA/pg_hba.conf"
