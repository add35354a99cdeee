# vortex-node for machines without a GPU. From the repository's root:
#
#   docker build -f deploy/images/cpu.Dockerfile -t vortex-node:cpu .
#   docker run --rm --read-only --tmpfs /tmp -v vortex:/var/lib/vortex-node vortex-node:cpu
#
# The API answers on the container's loopback until TLS and a token are there; deploy/compose shows how.
FROM rust:1.95-trixie AS build
# nasm makes encoding 1.7 times as fast; any version does.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends nasm \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --bin vortex-node \
 && install -D --strip target/dist/vortex-node /out/vortex-node

FROM debian:trixie-slim
# Security updates come with a rebuild: no versions are pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates openssl \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/vortex-node
COPY --from=build /out/vortex-node /usr/bin/vortex-node
# Profiles, voices, rehearsals and the demo weights: where the binary looks.
COPY config /usr/share/vortex-node
ENV VORTEX_DATA_DIR=/var/lib/vortex-node \
    VORTEX_HTTP__MANAGEMENT=127.0.0.1:9101
USER 10001:10001
WORKDIR /var/lib/vortex-node
VOLUME /var/lib/vortex-node
EXPOSE 9100 9101
# Alive, not ready: a node under pressure must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=6s --start-period=15m --start-interval=2s --retries=3 \
  CMD ["vortex-node", "probe", "livez"]
ENTRYPOINT ["vortex-node"]
CMD ["serve"]
