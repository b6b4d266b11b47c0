# One image for every Python and Spark process of the lab: services, Prefect server and workers, MLflow, Spark.
# One lock, hence one version of everything on both sides of each connection. See docs/deployment.md.
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

# --- packages, by hash; the code comes last, so that a change of it fetches nothing anew
FROM ${PYTHON_IMAGE} AS build
ENV VIRTUAL_ENV=/opt/datalab/.venv PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
WORKDIR /opt/datalab
COPY requirements-bootstrap.lock requirements.lock ./
RUN python -m venv .venv \
 && .venv/bin/python -m pip install -q --require-hashes -r requirements-bootstrap.lock \
 && .venv/bin/uv pip sync -q --require-hashes --compile-bytecode requirements.lock
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY datalab datalab
COPY services services
COPY flows flows
RUN .venv/bin/uv pip install -q --no-deps --no-build-isolation --offline -e . \
 && .venv/bin/python -m compileall -q schemas datalab services flows

# --- Delta's jars, by checksum, with no more of the code than that takes
FROM build AS jars
WORKDIR /tmp/jars
COPY deploy/bin/fetch_delta_jars.py ./
COPY datalab/__init__.py datalab/
COPY datalab/local/__init__.py datalab/local/jars.py datalab/local/jar_lock.py datalab/local/jars.lock datalab/local/layout.py datalab/local/
RUN PYTHONPATH=/tmp/jars /opt/datalab/.venv/bin/python fetch_delta_jars.py /opt/datalab/jars

# --- what runs
FROM ${PYTHON_IMAGE} AS lab
RUN apt-get update \
 && apt-get install -y --no-install-recommends curl openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 datalab \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin datalab \
 && install -d -o datalab -g datalab /data/landing /data/lake /data/home /data/backups /data/mlflow /data/inbox /data/s3 /scratch
WORKDIR /opt/datalab
COPY --from=build /opt/datalab ./
COPY --from=jars /opt/datalab/jars jars
COPY config config
COPY deploy deploy
ENV PATH=/opt/datalab/.venv/bin:$PATH \
    PYTHONPATH=/opt/datalab \
    PYTHONUNBUFFERED=1 \
    PYTHONUTF8=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LC_ALL=C.UTF-8 \
    HOME=/tmp \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true
USER 10001:10001
CMD ["datalab", "--help"]
