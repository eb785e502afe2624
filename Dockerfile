# One image for every function: FUNCTION_SOURCE and FUNCTION_TARGET choose which one it serves.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app

COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock

COPY start .
COPY terraform/generated terraform/generated
COPY shared shared
COPY functions functions
# Compiled once here, not at every cold start by a user who may not write.
RUN python -m compileall -q shared functions

USER 65534:65534
EXPOSE 8080
CMD ["./start"]
