# Hash-pinned wheels are installed in one stage; the other holds only them and the product, and runs as nobody special.
FROM python:3.11-slim-bookworm AS build
# What the image has beside base.txt: nothing, or otel.
ARG EXTRA=
COPY requirements/base.txt requirements/otel.txt /tmp/requirements/
RUN python -m venv /venv \
 && for name in base ${EXTRA}; do \
      /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
        -r /tmp/requirements/$name.txt || exit 1; \
    done

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
