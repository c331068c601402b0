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
ends_with 0 health --live
prints 'live, serving'
ends_with 7 --address 127.0.0.1:1 --timeout 1s health --live
ends_with 0 shards list
prints primary
ends_with 0 gateways list
prints self
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

# ---- Questions: the 2,000 customers of the import ----
errs() {
  grep -q -- "$1" "$folder/err" || { cat "$folder/err" >&2; fail "\"$1\" was not said"; }
}
lacks() {
  if grep -q -- "$1" "$folder/out"; then cat "$folder/out" >&2; fail "\"$1\" was printed"; fi
}
# Standard output must be these lines.
prints_just() {
  printf '%s\n' "$@" | cmp -s - "$folder/out" || { cat "$folder/out" >&2; fail "something else than \"$*\" was printed"; }
}
count_of() {
  ends_with 0 aggregate customers --filter 'country = @country' --param "country=$1" --agg 'count(*) as n' -o json
  prints_just "{\"n\": $2}"
}

pages=0
token=
while :; do
  ends_with 0 list customers --filter 'country = @country' --param country=NL --columns customer_id --order customer_id \
    --page-size 700 -o json --page-token "$token"
  cat "$folder/out" >>"$folder/rows"
  pages=$((pages + 1))
  token=$(sed -n 's/^next page: --page-token //p' "$folder/err")
  [ -n "$token" ] || break
done
[ "$pages" -eq 3 ] || fail "2,000 rows came in $pages pages of 700"
seq -f '{"customer_id": %.0f}' 940001 942000 | cmp - "$folder/rows" || fail "the pages are not the 2,000 rows in order"
ends_with 0 list customers --filter "country = 'NL'" --order -customer_id --page-size 2
prints 942000
prints '^-- 2 rows, 4 of 4 shards$'
prints '^-- next page: --page-token '
ends_with 0 list customers --filter 'customer_id = 942000'
prints '^-- 1 row, 1 of 1 shard$'
lacks 'next page'

ends_with 0 query customers --filter "country = 'NL' AND customer_id > 941990" --columns customer_id,name --order -customer_id
prints 'Name, 2000'
prints '^-- 10 rows, 4 of 4 shards$'
ends_with 0 query customers --filter "country = 'NL'" --columns customer_id --order customer_id --limit 2 --offset 1 -o json
prints_just '{"customer_id": 940002}' '{"customer_id": 940003}'
ends_with 0 query customers --filter "country = 'NL'" --columns country --distinct -o json
prints_just '{"country": "NL"}'
ends_with 0 query customers --filter "country = 'Utopia'"
prints '^-- 0 rows, 4 of 4 shards$'

ends_with 0 aggregate customers --filter "country = 'NL'" --agg 'count(*) as n' --agg 'min(customer_id)' \
  --agg 'max(customer_id) as last' --agg 'count(distinct country) as countries' -o json
prints_just '{"n": 2000, "min_customer_id": 940001, "last": 942000, "countries": 1}'
ends_with 0 aggregate customers --group-by country --agg 'count(*) as n' --having 'n > 1000' --order -n
prints 'NL *2000$'
prints '^-- 1 row, 4 of 4 shards$'

# ---- Bulk writes ----
ends_with 4 update-where customers country=BE --filter "country = 'NL'" --all-shards
errs '--yes'
ends_with 5 update-where customers country=BE --filter "country = 'NL'" --yes
errs SCATTER_NOT_ALLOWED
ends_with 4 update-where customers country=BE --yes --all-shards
ends_with 4 update-where customers country=BE --filter "country = 'NL'" --everything --yes --all-shards
ends_with 4 update-where customers customer_id=1 --filter "country = 'NL'" --yes --all-shards
ends_with 4 update-where customers contry=BE --filter "country = 'NL'" --yes --all-shards
errs 'did you mean "country"'
count_of NL 2000
ends_with 0 update-where customers country=BE --filter "country = 'NL'" --yes --all-shards --batch-rows 150
prints '^-- 2000 rows$'
[ "$(grep -c '^s[0-3] .* done$' "$folder/out")" -eq 4 ] || fail "not all shards are done"
count_of BE 2000
count_of NL 0
ends_with 0 update-where customers country=LU --filter 'customer_id = 942000' --yes
prints '^-- 1 row$'
id=01890a5d-ac96-774b-bcce-b302099a8057
ends_with 0 update-where customers country=FX --filter 'customer_id = 942000' --yes --request-id "$id"
ends_with 0 update-where customers country=FX --filter 'customer_id = 942000' --yes --request-id "$id"
prints '^-- 1 row, by an earlier call$'

ends_with 4 delete-where customers --filter "country = 'BE'"
errs 'deletes every row that matches'
ends_with 5 delete-where customers --filter "country = 'BE'" --yes
count_of BE 1999
ends_with 4 delete-where customers --yes --all-shards
ends_with 0 delete-where customers --filter "country = 'BE'" --yes --all-shards -o json
prints '"rows": "1999"'
prints '"shard": "s3"'
count_of BE 0
ends_with 0 delete-where customers --filter 'customer_id = 942000' --yes
prints '^-- 1 row$'

# ---- What questions cost ----
ends_with 0 explain customers --filter 'customer_id = 1'
prints '^shards  *s[0-3]$'
prints SELECT
lacks 'row in'
ends_with 0 explain customers --filter "country = 'DE'" --analyze
prints '^shards  *s0, s1, s2, s3$'
prints '^s0: [0-9]* rows* in '
prints 'SCAN '
prints '^! goes to 4 shards'
lacks "'DE'"
ends_with 0 explain customers --filter "country = 'DE'" --page-size 10
prints LIMIT
ends_with 0 explain customers --group-by country --agg 'count(*)' -o json
prints '"merge": "the partial groups of 4 shards'
prints '"sql": "SELECT'
ends_with 4 explain
ends_with 4 explain customers --query-id 0123456789abcdef
ends_with 4 explain --query-id 0123456789abcdef
errs ListTopQueries

ends_with 0 top --by rows --limit 1000
prints 'shards/call'
prints scatter
prints '  country = ? ORDER BY customer_id$'
prints '  SET country of country = ?$'
lacks ' 94[0-9][0-9][0-9][0-9]'
lacks '\<NL\>\|\<BE\>\|Utopia'
ends_with 0 top --by calls --limit 1 -o json
[ "$(grep -c '"query_id"' "$folder/out")" -eq 1 ] || fail "more than one shape was printed"
ends_with 0 top --limit 1000 -o json
id=$(awk -F'"' '/"query_id"/ { id = $4 } /"has_example": true/ { print id; exit }' "$folder/out")
ends_with 0 explain --query-id "$id" --analyze
prints SELECT
ends_with 0 insights --limit 50
prints '^! .* calls asked several shards: '
prints '^  quarryctl explain --query-id [0-9a-f]* --analyze$'
prints '^-- [0-9]* found in [0-9]* shapes of queries$'
lacks '\<NL\>\|\<BE\>\|Utopia'
ends_with 0 insights --by calls -o json
prints '^{"query_id": "[0-9a-f]*", "what": ".*", "fix": ".*"}$'

# ---- Mistakes ----
ends_with 2 list
ends_with 2 list customers --page-size -1
ends_with 2 list customers --limit 5
ends_with 2 query customers --no-such-flag
ends_with 2 top --by size
ends_with 2 top --limit 0
ends_with 2 insights --limit 1001
ends_with 2 update-where customers --filter 'customer_id = 1' --yes
ends_with 3 list custommers
ends_with 3 query customers --shard s9
ends_with 4 list customers --filter 'nme = 1'
errs 'did you mean'
ends_with 4 query customers --filter 'name ='
ends_with 4 query customers --filter 'customer_id = @id'
ends_with 4 query customers --filter 'customer_id = @id' --param id
errs 'another form than name=value'
ends_with 4 query customers --filter 'customer_id = @id' --param id=int:x
ends_with 4 query customers --order nme
ends_with 4 list customers --page-token abc
ends_with 4 aggregate customers --agg 'median(customer_id)'
errs 'use count, sum, avg, min or max'
ends_with 4 aggregate customers --agg 'count'
ends_with 4 aggregate customers
ends_with 5 query customers --max-shards 1
errs LIMIT_EXCEEDED
