# Two images: `server` (the last stage, so the default) serves the embedded models or mounted
# bundles and holds the client, which the chart's test uses; `builder` (--target builder) has torch
# besides, and builds bundles.
#
# A Python from 3.11 on. For a build that can be repeated, pin the digest:
#   --build-arg BASE=python:3.13-slim-trixie@sha256:…
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS source
WORKDIR /src
COPY proto proto
COPY clients/python clients/python
COPY server/khulasa_server server/khulasa_server
COPY pyproject.toml README.md LICENSE ./

# The environment ends without pip: nothing is installed into a running container.
FROM source AS serving
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN python -m venv /opt/khulasa \
 && /opt/khulasa/bin/pip install --no-cache-dir ./proto './clients/python[cli]' '.[tracing]' \
 && /opt/khulasa/bin/pip uninstall --yes pip

# PIP_EXTRA_INDEX_URL can name an index of torch without CUDA, which is a tenth of the size.
FROM source AS converting
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN python -m venv /opt/khulasa \
 && /opt/khulasa/bin/pip install --no-cache-dir ./proto './clients/python[cli]' '.[convert,evaluate]' \
 && /opt/khulasa/bin/pip uninstall --yes pip

FROM ${BASE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="khulasa" \
      org.opencontainers.image.description="Summarizes Arabic text and translates it to English over gRPC" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-SA-4.0"
ENV PATH=/opt/khulasa/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1
# Any user will do: nothing but /tmp is written, so the root filesystem can be read-only.
USER 65532:65532
ENTRYPOINT ["khulasa-server"]

FROM runtime AS builder
COPY --from=converting /opt/khulasa /opt/khulasa
# The user has no home; a volume should be mounted where downloads go.
ENV HOME=/tmp
CMD ["models", "build", "--help"]

FROM runtime AS server
COPY --from=serving /opt/khulasa /opt/khulasa
EXPOSE 50051 9464
# Kubernetes has probes of its own; this asks what they ask, of the port that is set.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import http.client as h, os, sys; port = (os.environ.get('KHULASA_METRICS_LISTEN') or ':9464').rpartition(':')[2]; c = h.HTTPConnection('localhost', int(port), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
CMD ["serve"]
