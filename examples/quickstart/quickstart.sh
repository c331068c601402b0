#!/bin/sh
# Quarry from curl: every unary call is a POST of JSON to the HTTP port. 64-bit integers are strings in JSON.
#
#     QUARRY_HTTP=http://127.0.0.1:7480 sh examples/quickstart/quickstart.sh
set -eu
http=${QUARRY_HTTP:-http://127.0.0.1:7480}

call() {
  curl --fail-with-body --silent --show-error --max-time 10 \
    --header 'Content-Type: application/json' --data "$2" "$http/$1"
  echo
}

# The request id makes the write safe to send again: a repeat returns the first reply.
call quarry.v1.DataService/Upsert '{
  "table": "customers",
  "record": {"columns": {
    "customer_id": {"int64Value": "900004"},
    "name": {"textValue": "Edsger"},
    "email": {"textValue": "edsger@example.com"},
    "country": {"textValue": "NL"},
    "created": {"timestampValue": "2026-01-31T12:00:00Z"}
  }},
  "requestId": "'"$(cat /proc/sys/kernel/random/uuid)"'"
}'

call quarry.v1.DataService/Get '{"table": "customers", "key": {"values": [{"int64Value": "900004"}]}}'
