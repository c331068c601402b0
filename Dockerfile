# syntax=docker/dockerfile:1
# The gateway, its command line and its load program. docs/packages.md says how to build and run it, and what was tested.

# One dated release of Debian for both stages. To pin it to the byte, give the digest that
# `docker buildx imagetools inspect debian:12.13-slim` prints: --build-arg DEBIAN=debian@sha256:…
ARG DEBIAN=debian:12.13-slim

FROM ${DEBIAN} AS build
WORKDIR /src
# Alone, so that the compiler and the libraries are installed again only when their list changes.
COPY dev ./
RUN ./dev install package && rm -rf /var/lib/apt/lists/*
COPY . .
# Compilers speak it, and the compiler cache tells one locale from another.
ENV LANG=C.UTF-8
# QUARRY_JOBS: compilers at a time, one per core unless given. CCACHE_DIR: kept between builds by the cache mount.
ARG QUARRY_JOBS
ARG CCACHE_DIR=/ccache
ARG SOURCE_DATE_EPOCH
RUN --mount=type=cache,target=/ccache ./dev package

FROM ${DEBIAN}
# Before the package, which keeps an account that is there: a number that Kubernetes can see is not root's.
RUN groupadd --system --gid 7400 quarry && \
    useradd --system --uid 7400 --gid quarry --home-dir /var/lib/quarry --shell /usr/sbin/nologin quarry
# Which package the image is made of. Debian 12's buildah does not look into what is mounted: where nothing copied has changed, it
# takes the layer of an earlier package from its cache.
COPY --from=build /src/build/package/*.deb.sha256 /usr/share/quarry/
# The package brings the stripped binaries and names the libraries that they need; nothing else is installed.
RUN --mount=type=bind,from=build,source=/src/build/package,target=/packages \
    apt-get update && \
    apt-get install -y --no-install-recommends /packages/*.deb && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/*.log

# Only who builds can tell the last four.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
ARG URL=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Quarry" \
      org.opencontainers.image.description="Open data gateway: one gRPC service over many PostgreSQL or SQLite shards" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.url="${URL}" \
      org.opencontainers.image.created="${CREATED}"

# A container's ports are its own: every interface, whatever the mounted configuration says.
ENV QUARRY_CONFIG=/etc/quarry/quarry.yaml \
    QUARRY_DATA_DIR=/var/lib/quarry \
    QUARRY_LISTEN_GRPC=0.0.0.0:7400 \
    QUARRY_LISTEN_HTTP=0.0.0.0:7480
USER 7400:7400
WORKDIR /var/lib/quarry
# The only place that is written to.
VOLUME /var/lib/quarry
EXPOSE 7400 7480
# Alive is a gateway that answers; one whose shards are down, or that drains, is not helped by a restart.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["quarryctl", "--timeout", "3s", "health", "--live"]
ENTRYPOINT ["quarryd"]
CMD ["run"]
