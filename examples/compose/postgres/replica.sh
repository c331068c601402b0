#!/bin/sh
# A hot standby of $PRIMARY, such as "host=s0". The first start copies the primary; a copy that was cut off is made anew.
set -eu
if [ ! -d "$PGDATA" ]; then
  rm -rf "$PGDATA.new"
  # The name is the one that the primary's synchronous_standby_names waits for.
  PGPASSWORD=$REPLICATION_PASSWORD pg_basebackup --pgdata "$PGDATA.new" --write-recovery-conf --checkpoint=fast \
    --slot=replica --dbname "$PRIMARY user=replicator application_name=replica"
  mv "$PGDATA.new" "$PGDATA"
fi
exec "$@"
