# The server with the embedded models, and the client, which the chart's test uses; mount other
# bundles and name them in KHULASA_MODELS.
FROM python:3.13-slim AS build
WORKDIR /src
COPY proto proto
COPY clients/python clients/python
COPY server server
COPY pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/khulasa \
 && /opt/khulasa/bin/pip install --no-cache-dir ./proto './clients/python[cli]' . \
 && /opt/khulasa/bin/python -m compileall -q /opt/khulasa

FROM python:3.13-slim
COPY --from=build /opt/khulasa /opt/khulasa
# Any user will do: nothing is written, so the root filesystem can be read-only.
USER 65532:65532
ENV PATH=/opt/khulasa/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
EXPOSE 50051 9464
ENTRYPOINT ["khulasa-server"]
CMD ["serve"]
