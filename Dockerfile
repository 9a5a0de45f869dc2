# One image for the API and the workers:
#   docker run headrace            the API on port 8000
#   docker run headrace worker     one worker
#   docker run headrace app migrate
# It writes only to /tmp (uploads on their way, and the files of a worker's jobs: WORKER_DIR) and to what
# STORAGE_URL names, so its root file system may be read-only. Files go to /var/lib/headrace unless STORAGE_URL
# names a bucket: mount a volume there that the API and all workers share.

# Another image with Python 3.11 and the same user space, for clusters that build on their own.
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
# `--build-arg PACKAGES=ray` makes the image of the Ray engine, for its worker and for the nodes of its cluster.
ARG PACKAGES=runtime
RUN python -m venv --without-pip /opt/venv
COPY requirements/${PACKAGES}.txt /tmp/packages.txt
RUN python -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --disable-pip-version-check \
    --require-hashes --no-deps --only-binary :all: --requirement /tmp/packages.txt

FROM ${BASE}
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Headrace" \
    org.opencontainers.image.description="An ML job service: batch predictions and training, queued and resumable" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin headrace \
    && install --directory --owner headrace --group headrace --mode 0750 /var/lib/headrace \
    && python -m pip uninstall --quiet --yes --root-user-action ignore pip setuptools wheel
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/headrace
COPY alembic.ini ./
COPY alembic/ alembic/
COPY app/ app/
COPY worker/ worker/
RUN /opt/venv/bin/python -m compileall -q app worker alembic
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    STORAGE_URL=file:///var/lib/headrace
USER 10001:10001
# 8000: the API. 9000: health and metrics of the API and of a worker.
EXPOSE 8000 9000
ENTRYPOINT ["python", "-m"]
CMD ["app", "serve", "--host", "0.0.0.0", "--port", "8000"]
