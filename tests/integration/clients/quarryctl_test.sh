#!/bin/sh
# quarryctl against a running gateway: each command once, and an import that is run twice.
#
#     quarryctl_test.sh path/to/quarryctl
set -eu
ctl=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
  echo "quarryctl_test: $1" >&2
  exit 1
}
# The command must end with this exit code.
ends_with() {
  want=$1
  shift
  code=0
  "$ctl" "$@" >"$folder/out" 2>"$folder/err" || code=$?
  if [ "$code" -ne "$want" ]; then
    cat "$folder/out" "$folder/err" >&2
    fail "quarryctl $* ended with $code instead of $want"
  fi
}
prints() {
  grep -q -- "$1" "$folder/out" || { cat "$folder/out" >&2; fail "\"$1\" was not printed"; }
}

ends_with 0 health
prints serving
ends_with 0 shards list
prints primary
ends_with 0 tables list
prints customers
ends_with 0 tables describe orders
prints customer_id
ends_with 0 resolve customers 930001
prints because
ends_with 0 upsert customers customer_id=930001 name=Ada email=ada@example.com country=GB \
  created=2026-01-31T23:59:59.5+02:00 --returning '*'
prints 2026-01-31T21:59:59.5Z
ends_with 4 upsert customers customer_id=930001 email:=null name=Ada country=GB created=2026-01-31
ends_with 0 get customers 930001 -o json
prints '"name": "Ada"'
ends_with 0 update customers customer_id=930001 name='Ada L.'
ends_with 0 get customers 930001
prints 'Ada L.'
ends_with 0 sql --all 'SELECT customer_id, name FROM customers WHERE customer_id = ?1' 930001
prints 930001
ends_with 5 sql --all 'DELETE FROM customers'
ends_with 0 delete customers 930001
ends_with 3 get customers 930001
ends_with 4 insert customers customer_id=x name=Ada

{
  echo "customer_id,name,email,country,created"
  awk 'BEGIN { for (i = 1; i <= 2000; i++) printf "%d,\"Name, %d\",n%d@x,NL,2026-01-31\n", 940000 + i, i, i }'
} >"$folder/customers.csv"
ends_with 0 import "$folder/customers.csv" --table customers --batch 100
prints '2,000 written, 0 replayed'
ends_with 0 import "$folder/customers.csv" --table customers --batch 100
prints '0 written, 2,000 replayed'
ends_with 0 get customers 942000
prints 'Name, 2000'
ends_with 13 import "$folder/customers.csv" --table customers --batch 100 --run again --max-errors 2000
prints '2,000 rejected'
