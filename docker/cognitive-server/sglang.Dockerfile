# syntax=docker/dockerfile:1
# The model server: SGLang as its makers ship it, with a floor under its version and a probe that
# costs nothing. Needs an NVIDIA GPU, its container toolkit and a driver for the image's CUDA;
# for drivers of CUDA 12 build with --build-arg SGLANG=v0.5.19-cu129.
ARG SGLANG=v0.5.21
FROM lmsysorg/sglang:${SGLANG}

# Before 0.5.10 whoever reached one of its ZeroMQ ports could run code (CVE-2026-3059, CVE-2026-3060).
RUN python3 -c "from importlib.metadata import version; v = version('sglang'); \
assert tuple(int(''.join(filter(str.isdigit, p)) or 0) for p in v.split('.')[:3]) >= (0, 5, 10), \
'sglang ' + v + ': at least 0.5.10 is needed'"

# /health makes the model generate a token, /ready does not. Loading a model takes minutes.
HEALTHCHECK --interval=5s --timeout=3s --start-period=600s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('SGLANG_PORT', '30000') + '/ready', timeout=2)"]
ENTRYPOINT ["python3", "-m", "sglang.launch_server"]
