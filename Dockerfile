FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    STATIC_ROOT=/app/static

RUN useradd --uid 10001 --create-home marketplace && install -d -o marketplace -g marketplace /data
WORKDIR /app

COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt

COPY . ./
RUN python -m compileall -q . && DATA_DIR=/tmp/build python manage.py collectstatic --noinput && rm -rf /tmp/build

USER marketplace
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "granian", "--interface", "wsgi", "marketplace.wsgi:application", "--host", "0.0.0.0", "--port", "8000", "--no-ws", "--workers", "2", "--blocking-threads", "16"]
