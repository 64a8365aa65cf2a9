# The services beside the agents' containers: NATS with JetStream, and git repositories over ssh. Neither runs as root.
FROM debian:bookworm-slim AS nats
RUN apt-get update \
    && apt-get install -y --no-install-recommends nats-server \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --no-create-home nats-js \
    && mkdir /jetstream \
    && chown nats-js /jetstream
USER nats-js
VOLUME /jetstream
ENTRYPOINT ["nats-server", "-c", "/run/secrets/nats_conf"]

FROM debian:bookworm-slim AS git
RUN apt-get update \
    && apt-get install -y --no-install-recommends git openssh-server \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* \
    && useradd --uid 1000 --no-create-home --home-dir /repositories --shell /usr/bin/git-shell git \
    && mkdir /repositories \
    && chown git /repositories
USER git
VOLUME /repositories
# git-shell runs git's own commands and nothing else. The repositories must be there before the first push.
ENTRYPOINT ["bash", "-c", "for agent in $AGENTS; do git init -q --bare --initial-branch=\"$agent\" \"/repositories/$agent.git\" || exit 1; done; \
    exec /usr/sbin/sshd -D -e -p 2222 -h /run/secrets/git_host_key -o PidFile=none -o UsePAM=no -o StrictModes=no \
        -o PasswordAuthentication=no -o AuthorizedKeysFile=/run/secrets/git_authorized_keys \
        -o DisableForwarding=yes -o PermitTTY=no"]
