# The app for any machine with Docker: without a GPU, and with one of NVIDIA's.
#   docker build --target cpu -t rearview .
#   docker run --rm -p 7860:7860 rearview
#   docker build --target cuda -t rearview-cuda .
#   docker run --rm --gpus all -p 7860:7860 -v rearview-cache:/srv/rearview/.cache rearview-cuda
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    PATH=/opt/rearview/bin:$PATH
# Models of the hub are kept in .cache, where a volume takes over who may write.
RUN useradd --create-home --home-dir /srv/rearview --uid 1000 rearview \
    && install --directory --owner=1000 --group=1000 /srv/rearview/.cache \
    && python -m venv /opt/rearview
WORKDIR /srv/rearview/app
# Before the app's own files: the layers of libraries are made anew only when a version changes.
COPY requirements.txt ./
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
# Who may come in is decided by how the port is published; inside, every address has to be listened on.
ENTRYPOINT ["python", "app.py", "--host", "0.0.0.0"]

FROM base AS cpu
# PyTorch's build for CPUs is a tenth of that for CUDA, and xformers has no kernels for a CPU.
RUN sed '/^xformers/d' requirements.txt > cpu.txt \
    && pip install --extra-index-url https://download.pytorch.org/whl/cpu --requirement cpu.txt \
    && rm cpu.txt
COPY LICENSE Spacefile app.py ./
COPY pipeline pipeline
COPY demo demo
COPY examples examples
USER 1000
CMD ["--model", "embedded"]

FROM base AS cuda
# PyTorch's wheels bring CUDA with them: the host has NVIDIA's driver and container toolkit. Triton compiles the launchers
# of its kernels with a C compiler; Debian keeps only the newest version of one, so none is named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --requirement requirements.txt
COPY LICENSE Spacefile app.py ./
COPY pipeline pipeline
COPY demo demo
COPY examples examples
USER 1000
