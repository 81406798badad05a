# Hash-pinned wheels are installed in one stage; the other holds only them and the product, and runs as nobody special.
FROM python:3.11-slim-bookworm AS build
COPY requirements/base.txt /tmp/base.txt
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r /tmp/base.txt

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin gateway \
 && install --directory --owner=gateway --group=gateway /srv/sluicegate/var
WORKDIR /srv/sluicegate
COPY --from=build /venv /venv
COPY manage.py ./
COPY templates ./templates
COPY config ./config
COPY proxy ./proxy
COPY experience ./experience
COPY clients/js ./clients/js
USER gateway
EXPOSE 8666
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('GATEWAY_PORT', '8666') + '/health', timeout=3)"]
CMD ["python", "manage.py", "serve"]
