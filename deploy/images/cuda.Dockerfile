# vortex-node with the GPU path. From the repository's root:
#
#   docker build -f deploy/images/cuda.Dockerfile -t vortex-node:cuda .
#   docker run --rm --gpus all vortex-node:cuda gpu-check
#
# The builder needs no card. The final image brings cuBLAS and cuRAND; the driver's libcuda and NVML come from the host
# through the NVIDIA container toolkit.
FROM ubuntu:24.04 AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Any version does.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      build-essential ca-certificates curl nasm pkg-config python3 python3-pip \
 && rm -rf /var/lib/apt/lists/*
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain 1.95
WORKDIR /src
COPY . .
ARG CAPS=80,86,89,90
# toolkit.sh fetches the compiler; the binary links no CUDA library.
RUN PIP_BREAK_SYSTEM_PACKAGES=1 deploy/cuda/build.sh --caps "$CAPS" --out /out/vortex-node \
 && strip /out/vortex-node

FROM nvidia/cuda:13.0.1-base-ubuntu24.04
# Security updates come with a rebuild: no versions are pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libcublas-13-0 libcurand-13-0 openssl \
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
