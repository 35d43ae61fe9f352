# One file for the four services: docker build --build-arg SERVICE=scanner .
# The images hold the same code and differ in what is installed beside it: the hashed lock of the service, nothing else.

FROM python:3.11.14-slim-bookworm AS build
ARG SERVICE
WORKDIR /build
COPY requirements/build.txt requirements/${SERVICE}.txt requirements/
RUN python -m venv /app \
 && /app/bin/pip install --no-cache-dir --require-hashes -r "requirements/${SERVICE}.txt" \
 && python -m venv /tools \
 && /tools/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY cli cli
COPY devstack devstack
COPY services services
COPY shared shared
RUN /tools/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir wheels . \
 && /app/bin/pip install --no-cache-dir --no-deps --no-index wheels/*.whl \
 && /app/bin/pip uninstall --yes pip

FROM node:24.19.0-bookworm-slim AS ui
WORKDIR /ui
COPY ui/package.json ui/package-lock.json ./
RUN npm ci --ignore-scripts
COPY ui .
RUN npx --no-install vite build

FROM python:3.11.14-slim-bookworm
ARG SERVICE
# COPY_STRATEGY=tiered copies with rsync.
RUN if [ "$SERVICE" = compressor ]; then \
      apt-get update && apt-get install --yes --no-install-recommends rsync && rm -rf /var/lib/apt/lists/*; \
    fi \
 && useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin cs-archiver \
 && install --directory --owner=10001 --group=10001 /storage
COPY --from=build /app /app
# 3 MB that only the gateway serves (UI_PATH in compose.yaml).
COPY --from=ui /ui/dist /app/ui
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SERVICE=${SERVICE}
WORKDIR /app
USER 10001:10001
CMD ["sh", "-c", "exec python -m services.$SERVICE"]
