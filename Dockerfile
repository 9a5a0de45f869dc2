# One image for the API and the workers:
#   docker run headrace            the API on port 8000
#   docker run headrace worker     one worker
#   docker run headrace app migrate
# It writes only to /tmp and to what STORAGE_URL names, so its root file system may be read-only.

FROM python:3.11-slim AS packages
RUN python -m venv /opt/venv
COPY requirements/runtime.txt /tmp/runtime.txt
RUN /opt/venv/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    --require-hashes --no-deps --only-binary :all: --requirement /tmp/runtime.txt

FROM python:3.11-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin headrace
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
    ENVIRONMENT=production
USER 10001:10001
# 8000: the API. 9000: a worker's health and metrics.
EXPOSE 8000 9000
ENTRYPOINT ["python", "-m"]
CMD ["app", "serve", "--host", "0.0.0.0", "--port", "8000"]
