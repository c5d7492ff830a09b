# The image for clusters: crossmesh and Ray on every node, as a user without rights.
#
#   make image                                    docker, podman or buildah: make image BUILDER=podman
#   docker run --rm --shm-size=2g -v "$PWD/runs:/home/crossmesh/runs" crossmesh:VERSION train digits
#
# On Kubernetes it is what `image:` of a cluster's file names; there KubeRay says what is run in it.
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
WORKDIR /source
ENV PIP_CONSTRAINT=/source/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
# What crossmesh depends on changes less often than crossmesh: a layer of its own.
COPY pyproject.toml constraints.txt ./
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
      > requirements.txt \
 && python3 -m pip install --prefix=/install -r requirements.txt 'ray[default]'
COPY . .
RUN python3 -m pip install --prefix=/install --no-deps .

FROM ${PYTHON_IMAGE}
ARG VERSION=0
LABEL org.opencontainers.image.title="crossmesh" \
      org.opencontainers.image.description="Emulates analog crossbar accelerators that train neural networks, on Ray" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# KubeRay asks with wget whether a node is well.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini wget \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 1000 crossmesh \
 && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash crossmesh
COPY --from=builder /install /usr/local
ENV PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0
USER 1000:1000
WORKDIR /home/crossmesh
# A training ends by itself, and pods have probes of KubeRay's.
HEALTHCHECK NONE
ENTRYPOINT ["/usr/bin/tini", "--", "crossmesh"]
CMD ["--help"]
