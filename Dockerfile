# A threadd daemon: built with its lock file in one image, run in another that holds only what it needs.
#
#   docker build -t threadd .
#   docker run -p 3006:3006 -p 3007:3007 -p 8006:8006 -p 127.0.0.1:8007:8007 -p 4006:4006 -v threadd:/data threadd
#
# See docs/container.md for the settings, for building it behind a proxy with certificates of its own, and for building and running
# it without an engine or a registry of images.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
WORKDIR /build
ENV UV_PROJECT_ENVIRONMENT=/opt/threadd UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
# Whose package index is signed by an authority of his own gives its certificates as the secret `certificates`: nothing of it stays.
ENV CERTIFICATES=/run/secrets/certificates
RUN --mount=type=secret,id=certificates \
    if [ -e "$CERTIFICATES" ]; then export PIP_CERT="$CERTIFICATES"; fi \
    && python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock README.md ./
RUN --mount=type=secret,id=certificates \
    if [ -e "$CERTIFICATES" ]; then export SSL_CERT_FILE="$CERTIFICATES"; fi \
    && /opt/uv/bin/uv sync --locked --no-dev --no-install-project --quiet --python "$(command -v python3)"
COPY threadd threadd
COPY store store
COPY net net
COPY proto proto
RUN --mount=type=secret,id=certificates \
    if [ -e "$CERTIFICATES" ]; then export SSL_CERT_FILE="$CERTIFICATES"; fi \
    && /opt/uv/bin/uv sync --locked --no-dev --no-editable --quiet --python "$(command -v python3)"

FROM ${BASE}
COPY --from=build /opt/threadd /opt/threadd
RUN groupadd --gid 3006 threadd \
    && useradd --uid 3006 --gid threadd --no-create-home --home-dir /data --shell /usr/sbin/nologin threadd \
    && install -d -o threadd -g threadd -m 700 /data
# The threads doors ask for no key, so they stay inside; the Hub's doors do. Peers are told an address that holds on the machine
# that publishes 4006, never one of the container's own; THREADD_ANNOUNCE names the one that holds elsewhere.
ENV PATH=/opt/threadd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    THREADD_REPO=/data \
    THREADD_HUB_API=0.0.0.0:3006 \
    THREADD_HUB_WEB=0.0.0.0:3007 \
    THREADD_GATEWAY=0.0.0.0:8006 \
    THREADD_CONSOLE=0.0.0.0:8007 \
    THREADD_HOST_ADDR=/ip4/0.0.0.0/tcp/4006 \
    THREADD_ANNOUNCE=/ip4/127.0.0.1/tcp/4006 \
    THREADD_LOG_FORMAT=json
USER threadd
VOLUME /data
EXPOSE 3006 3007 8006 8007 4006
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["threadd", "health"]
ENTRYPOINT ["threadd"]
CMD ["serve"]
