# Sourced by gpu_check and gpu_profile: a build of this tree for the Python that has torch with CUDA,
# which may be a bare machine without a network: nothing is installed. Leaves PYTHON and PYTHONPATH.
# The current directory is the repository's root.

GPU_ABSENT=3  # exit status: nothing to run on

gpu_python() {  # an interpreter whose torch finds a device
  local name reason=""
  for name in ${PYTHON:-} .venv/bin/python python3; do
    command -v "$name" >/dev/null 2>&1 || continue
    if reason=$("$name" -c '
import sys
try:
    import torch
except ImportError:
    sys.exit("has no torch")
if not torch.cuda.is_available():
    sys.exit(f"torch {torch.__version__} finds no CUDA device")
' 2>&1); then
      PYTHON=$(command -v "$name")
      return
    fi
    echo "gpu: $name: ${reason##*$'\n'}" >&2
  done
  echo "gpu: nothing to run on: this needs a GPU and a Python whose torch finds it" >&2
  return $GPU_ABSENT
}

gpu_build() {  # the core and the CUDA module, for the device that is here, in build/gpu
  local capability architecture site=build/gpu/site
  capability=$("$PYTHON" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())') || return
  case $capability in
    90) architecture=90a ;;
    10?) architecture=100f ;;
    12?) architecture=120f ;;
    *) architecture=$capability ;;
  esac
  cmake -G Ninja -S . -B build/gpu -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE="$PYTHON" \
    -DMETABONK_CUDA="${METABONK_CUDA:-AUTO}" -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" >/dev/null &&
    cmake --build build/gpu -j "$(nproc)" -- --quiet || return
  rm -rf "$site" && mkdir -p "$site" && cp -r metabonk "$site/" && rm -rf "$site/metabonk/_core" &&
    cp -r kernels "$site/metabonk/kernels" && cp -r bench "$site/metabonk/bench" &&
    cmake --install build/gpu --prefix "$site" >/dev/null || return
  export PYTHONPATH="$PWD/$site" PYTHONSAFEPATH=1
}
