# One image for the API and the workers:
#   docker run headrace            the API on port 8000
#   docker run headrace worker     one worker
#   docker run headrace app migrate
# It writes only to /tmp (uploads on their way, and the files of a worker's jobs: WORKER_DIR) and to what
# STORAGE_URL names, so its root file system may be read-only. Files go to /var/lib/headrace unless STORAGE_URL
# names a bucket: mount a volume there that the API and all workers share.

FROM python:3.11-slim AS packages
RUN python -m venv --without-pip /opt/venv
COPY requirements/runtime.txt /tmp/runtime.txt
RUN python -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --disable-pip-version-check \
    --require-hashes --no-deps --only-binary :all: --requirement /tmp/runtime.txt

FROM python:3.11-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin headrace
RUN install --directory --owner headrace --group headrace --mode 0750 /var/lib/headrace
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
# 8000: the API. 9000: a worker's health and metrics.
EXPOSE 8000 9000
ENTRYPOINT ["python", "-m"]
CMD ["app", "serve", "--host", "0.0.0.0", "--port", "8000"]
