# syntax=docker/dockerfile:1
# Two images: `gpu` on vLLM's own image, `cpu` on a slim Python with the embedded model inside.
#
#   docker build --target cpu --tag mentalllama:cpu .
#   docker build --target gpu --tag mentalllama:gpu .
#
# Each RUN is one script of deploy/docker, with the build context mounted read-only at /source; tests
# run the same scripts in an empty folder. A base image is pinned by its version here. Pin it by its
# digest as well where you build for production (docs/operations.md says how):
#
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:… …

ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# The version of vLLM in requirements/gpu.txt; a test compares them.
ARG VLLM_IMAGE=vllm/vllm-openai:v0.32.0


FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_NO_CACHE_DIR=1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=bind,target=/source /source/deploy/docker/build-wheel.sh /wheels


FROM ${PYTHON_IMAGE} AS cpu-build
ENV PIP_NO_CACHE_DIR=1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=bind,target=/source /source/deploy/docker/prepare-system.sh cpu
RUN --mount=type=bind,target=/source /source/deploy/docker/install-cpu.sh /opt/mentalllama
RUN --mount=type=bind,target=/source --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /source/deploy/docker/install-project.sh /opt/mentalllama /wheels
RUN --mount=type=bind,target=/source /source/deploy/docker/build-model.sh /opt/mentalllama
RUN --mount=type=bind,target=/source /source/deploy/docker/write-sbom.sh /opt/mentalllama
RUN --mount=type=bind,target=/source /source/deploy/docker/slim.sh /opt/mentalllama


FROM ${VLLM_IMAGE} AS gpu-build
ENV PIP_NO_CACHE_DIR=1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=bind,target=/source /source/deploy/docker/install-gpu.sh /opt/mentalllama
RUN --mount=type=bind,target=/source --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /source/deploy/docker/install-project.sh /opt/mentalllama /wheels
RUN --mount=type=bind,target=/source /source/deploy/docker/write-sbom.sh /opt/mentalllama


# No pip, no compiler, the model inside: it starts without a network.
FROM ${PYTHON_IMAGE} AS cpu
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=bind,target=/source /source/deploy/docker/prepare-system.sh cpu
COPY --from=cpu-build /opt/mentalllama /opt/mentalllama
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="MentalLLaMA, CPU" \
    org.opencontainers.image.description="Interpretable mental health analysis of social media text: non-clinical research software, with its embedded model" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.licenses="MIT AND Apache-2.0" \
    org.opencontainers.image.documentation="docs/operations.md"
ENV PATH=/opt/mentalllama/bin:$PATH \
    HOME=/cache \
    XDG_CACHE_HOME=/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# All else may be mounted read-only: /tmp (sockets, temporary files) and /cache are what is written.
VOLUME ["/cache", "/tmp"]
USER 10001:10001
WORKDIR /cache
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=5m --retries=3 \
    CMD ["/opt/mentalllama/bin/python", "/opt/mentalllama/healthcheck.py", "/livez"]
# The grace period of the service and ten seconds more: see docs/operations.md.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/mentalllama/bin/mentalllama"]
CMD ["serve", "/opt/mentalllama/model", "--host", "0.0.0.0"]


# vLLM's image brings the C compiler that Triton calls while it runs; nothing is added to that.
FROM ${VLLM_IMAGE} AS gpu
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=bind,target=/source /source/deploy/docker/prepare-system.sh gpu
COPY --from=gpu-build /opt/mentalllama /opt/mentalllama
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="MentalLLaMA, GPU" \
    org.opencontainers.image.description="Interpretable mental health analysis of social media text: non-clinical research software, on vLLM" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.licenses="MIT AND Apache-2.0" \
    org.opencontainers.image.documentation="docs/operations.md"
ENV PATH=/opt/mentalllama/bin:$PATH \
    HOME=/cache \
    XDG_CACHE_HOME=/cache \
    TRITON_CACHE_DIR=/cache/triton \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME ["/cache", "/tmp"]
USER 10001:10001
WORKDIR /cache
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30m --retries=3 \
    CMD ["/opt/mentalllama/bin/python", "/opt/mentalllama/healthcheck.py", "/livez"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/mentalllama/bin/mentalllama"]
# A model is mounted there, or another named: `… mentalllama:gpu serve org/name --host 0.0.0.0`.
CMD ["serve", "/model", "--host", "0.0.0.0"]
