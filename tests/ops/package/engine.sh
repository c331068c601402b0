#!/usr/bin/env bash
# Builds the image with Docker, starts examples/compose with it, and makes calls through its balancer. Needs a Docker engine.
# In a project of its own, so that what is removed at the end, volumes included, is never that of somebody's own deployment.
set -euo pipefail
cd "$(dirname "$0")/../../../examples/compose"

export COMPOSE_PROJECT_NAME=quarry-engine-test

stop() {
  docker compose logs --tail 50 || true
  docker compose down --volumes
}
trap stop EXIT

docker compose up --build --detach --wait --wait-timeout 300
docker compose exec -T gateway-0 quarryctl --address balancer:7400 upsert countries code=NL name=Netherlands
docker compose exec -T gateway-0 quarryctl --address balancer:7400 get countries NL
docker compose exec -T gateway-0 quarryctl --address balancer:7400 health
