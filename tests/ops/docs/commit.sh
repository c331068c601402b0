#!/bin/sh
# Commits over all shards of the sample shop, and prints the transaction's id: for pages that show what to do with one.
set -eu
curl --fail-with-body --silent --show-error --max-time 10 --header 'content-type: application/json' \
  "$QUARRY_HTTP/quarry.v1.TransactionService/Commit" --data '{"mutations": [{"upsert": {"table": "products", "record": {"columns": {
    "product_id": {"int64Value": "1"}, "name": {"textValue": "bolt"}, "price": {"decimalValue": "1.50"}}}}}]}' |
  sed 's/.*"transactionId":"\([^"]*\)".*/\1/'
