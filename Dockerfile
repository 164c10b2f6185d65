# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build

RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/tokenfuse
WORKDIR /build

# The locked dependencies are a layer of their own: a change of the source does not install them again.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --extra service --no-default-groups --no-install-project
COPY src src
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --extra service --no-default-groups --no-editable

FROM python:3.11-slim

# A number, so that Kubernetes can verify runAsNonRoot.
RUN groupadd --gid 65532 tokenfuse \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/tokenfuse --shell /usr/sbin/nologin tokenfuse \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/tokenfuse
COPY --from=build /opt/tokenfuse /opt/tokenfuse
COPY rules /etc/tokenfuse/rules

# The root file system may be read-only: only STATE_DIR and /tmp are written to.
ENV PATH=/opt/tokenfuse/bin:$PATH \
    HOME=/var/lib/tokenfuse \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TOKENFUSE_STATE_DIR=/var/lib/tokenfuse \
    TOKENFUSE_RULES_DIR=/etc/tokenfuse/rules
# An optional tokenfuse.yaml is read from the working directory.
WORKDIR /etc/tokenfuse
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["tokenfuse"]
CMD ["run"]
