#!/bin/sh
# Generates the Python client with the stock generator, and runs quickstart.py with it. What it installs goes to build/.
#
#     examples/quickstart/python.sh [HOST:PORT]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$root/build/venv/bin/python
generated=$root/build/python

[ -x "$python" ] || python3 -m venv "$root/build/venv"
"$python" -c 'import grpc, grpc_tools' 2>/dev/null || "$python" -m pip install --quiet grpcio grpcio-tools
mkdir -p "$generated"
cd "$root/proto"
"$python" -m grpc_tools.protoc -I. --python_out="$generated" --grpc_python_out="$generated" \
  google/rpc/*.proto quarry/v1/*.proto
QUARRY_ADDRESS=${1:-${QUARRY_ADDRESS:-127.0.0.1:7400}} PYTHONPATH=$generated exec "$python" "$root/examples/quickstart/quickstart.py"
