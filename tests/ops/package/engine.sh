#!/usr/bin/env bash
# Builds the image with Docker, starts examples/compose with it, makes calls through its balancer, and asks Prometheus and Grafana
# what they have. Needs a Docker engine and curl.
# In a project of its own, so that what is removed at the end, volumes included, is never that of somebody's own deployment.
set -euo pipefail
cd "$(dirname "$0")/../../../examples/compose"

export COMPOSE_PROJECT_NAME=quarry-engine-test

stop() {
  docker compose --profile load logs --tail 50 || true
  docker compose --profile load down --volumes
}
trap stop EXIT

# Waits until an address answers what is wanted: what is scraped and provisioned comes some seconds after the start.
wait_for() { # wanted text, curl arguments…
  local wanted=$1 answer=""
  shift
  for _ in $(seq 90); do
    answer=$(curl --silent --max-time 5 "$@") || true
    if [[ $answer == *"$wanted"* ]]; then return; fi
    sleep 1  # A poll: what it asks tells nobody when it is ready.
  done
  printf 'engine: curl %s never answered %s, but %s\n' "$*" "$wanted" "$answer" >&2
  return 1
}

wait_for_metric() { # PromQL that has a value when it is true
  wait_for '"value":[' --get --data-urlencode "query=$1" localhost:9090/api/v1/query
}

docker compose up --build --detach --wait --wait-timeout 300
docker compose exec -T gateway-0 quarryctl --address balancer:7400 upsert countries code=NL name=Netherlands
docker compose exec -T gateway-0 quarryctl --address balancer:7400 get countries NL
docker compose exec -T gateway-0 quarryctl --address balancer:7400 health

wait_for_metric 'sum(up{job="quarry"}) == 3'
wait_for '"name":"QuarryGatewayDown"' 'localhost:9090/api/v1/rules?type=alert'
for dashboard in ../../helm/quarry/dashboards/*.json; do
  wait_for "\"uid\":\"quarry-$(basename "$dashboard" .json)\"" 'localhost:3000/api/search?type=dash-db'
done
docker compose --profile load up --detach
wait_for_metric 'sum(rate(grpc_server_handled_total{job="quarry", grpc_code="OK"}[1m])) > 50'
