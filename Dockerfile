# lmmgwas in a container, for Nextflow, Snakemake and Apptainer:
#
#   docker build --tag lmmgwas .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" lmmgwas \
#     lmmgwas assoc --bfile study --pheno traits.tsv --out results
#   apptainer build lmmgwas.sif docker-daemon:lmmgwas:latest
#
# Every package is installed by its hash (requirements/run.txt). There is no entry point, so that
# workflow managers can start a shell.

FROM python:3.12-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/lmmgwas
ENV PATH=/opt/lmmgwas/bin:$PATH
COPY requirements/run.txt requirements/run.txt
RUN pip install --no-cache-dir --require-hashes --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY lmmgwas lmmgwas
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="lmmgwas" \
      org.opencontainers.image.description="Exact linear mixed model association for genome-wide data" \
      org.opencontainers.image.licenses="BSD-3-Clause"
# ps, which Nextflow measures its tasks with
RUN apt-get update \
 && apt-get install --yes --no-install-recommends procps \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/lmmgwas /opt/lmmgwas
ENV PATH=/opt/lmmgwas/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid 1000 lmmgwas \
 && mkdir /data \
 && chown lmmgwas:lmmgwas /data
USER lmmgwas
WORKDIR /data
CMD ["lmmgwas", "--help"]
