# AgentOS in a container: built in one stage, run in another that holds only the programs.
#
#   docker build -t agentos:latest .
#   docker run --rm -v "$PWD/my-agent-data:/data" agentos:latest init       or check, help, any other verb
#   docker run -d --name agentos -v "$PWD/llm-api-key:/run/secrets/llm-api-key:ro" \
#       -e LLM_API_KEY_FILE=/run/secrets/llm-api-key -v "$PWD/my-agent-data:/data" agentos:latest
#
# The container writes /data alone, so --read-only --cap-drop=ALL --security-opt=no-new-privileges fits.
FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev cmake ninja-build pkg-config libcurl4-openssl-dev \
        libyaml-dev libgit2-dev zlib1g-dev libbsd-dev libnng-dev libseccomp-dev libjansson-dev \
        libmicrohttpd-dev libnats-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY CMakeLists.txt ./
COPY deploy/presets deploy/presets
COPY common common
COPY supervisor supervisor
COPY worker worker
COPY deploy/man deploy/man
COPY deploy/completions deploy/completions
COPY deploy/systemd deploy/systemd
RUN cmake -C deploy/presets/release.cmake -S . -B /build -G Ninja -DCMAKE_INSTALL_PREFIX=/usr/local \
    && ninja -C /build \
    && DESTDIR=/image cmake --install /build --strip

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="AgentOS" \
      org.opencontainers.image.description="Self-improving LLM agents as files, git histories and processes"
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git libcurl4 libyaml-0-2 libgit2-1.5 zlib1g libbsd0 libnng1 \
        libseccomp2 libjansson4 libmicrohttpd12 libnats3.4 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --shell /bin/bash agentos \
    && mkdir /data \
    && chown agentos:agentos /data
COPY --from=build /image/usr/local /usr/local
USER agentos
VOLUME /data
ENV DATA_DIR=/data \
    POLL_INTERVAL=5 \
    LLM_BASE_URL=https://api.openai.com/v1 \
    LLM_MODEL=gpt-4o \
    LLM_MAX_TOKENS=2048 \
    LLM_TIMEOUT=60
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["agentos", "status"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["agentos"]
CMD ["run"]
