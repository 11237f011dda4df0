// How a kernel is started, and what the device it is started on can hold. No kernels.
//
// Functions return CUDA's error code, 0 for success. Nothing here waits for the device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

namespace metabonk::cuda {

struct Limits {
  int major, minor;
  int multiprocessors;
  int shared_bytes;  // that one block can ask for
};

inline int LimitsOfDevice(Limits* limits) {
  int device = 0;
  if (const cudaError_t e = cudaGetDevice(&device)) return e;
  const std::pair<cudaDeviceAttr, int*> wanted[] = {
      {cudaDevAttrComputeCapabilityMajor, &limits->major},
      {cudaDevAttrComputeCapabilityMinor, &limits->minor},
      {cudaDevAttrMultiProcessorCount, &limits->multiprocessors},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, &limits->shared_bytes},
  };
  for (const auto& [attribute, value] : wanted) {
    if (const cudaError_t e = cudaDeviceGetAttribute(value, attribute, device)) return e;
  }
  return cudaSuccess;
}

struct LaunchShape {
  int blocks, threads;
  size_t shared = 0;
  int cluster = 1;           // blocks that share a cluster; divides `blocks`
  bool cooperative = false;  // all blocks are there at once, or the launch fails
};

namespace detail {

struct Configuration {
  cudaLaunchConfig_t config = {};
  cudaLaunchAttribute attributes[2] = {};

  Configuration(const LaunchShape& shape, void* stream) {
    config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
    config.blockDim = dim3(static_cast<unsigned>(shape.threads));
    config.dynamicSmemBytes = shape.shared;
    config.stream = static_cast<cudaStream_t>(stream);
    config.attrs = attributes;
    if (shape.cluster > 1) {
      attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
      attributes[config.numAttrs++].val.clusterDim = {static_cast<unsigned>(shape.cluster), 1, 1};
    }
    if (shape.cooperative) {
      attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
      attributes[config.numAttrs++].val.cooperative = 1;
    }
  }
};

}  // namespace detail

// Lets a kernel have the shared memory and the size of cluster that the shape asks for.
template <class... Parameters>
int Allow(void (*kernel)(Parameters...), const LaunchShape& shape) {
  const void* function = reinterpret_cast<const void*>(kernel);
  if (shape.shared > 48 * 1024) {
    const cudaError_t e = cudaFuncSetAttribute(
        function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared));
    if (e != cudaSuccess) return e;
  }
  if (shape.cluster > 8) {  // beyond what every device with clusters has
    return cudaFuncSetAttribute(function, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
  }
  return cudaSuccess;
}

// Whether the device can hold one such cluster at least; false where it has none.
template <class... Parameters>
bool Fits(void (*kernel)(Parameters...), const LaunchShape& shape) {
  if (Allow(kernel, shape) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  const detail::Configuration made(shape, nullptr);
  int clusters = 0;
  const cudaError_t e = cudaOccupancyMaxActiveClusters(
      &clusters, reinterpret_cast<const void*>(kernel), &made.config);
  if (e != cudaSuccess) cudaGetLastError();  // or the next call would report it
  return e == cudaSuccess && clusters > 0;
}

template <class... Parameters, class... Arguments>
int Launch(void (*kernel)(Parameters...), const LaunchShape& shape, void* stream,
           Arguments&&... arguments) {
  if (const int e = Allow(kernel, shape)) return e;
  const detail::Configuration made(shape, stream);
  const cudaError_t e =
      cudaLaunchKernelEx(&made.config, kernel, std::forward<Arguments>(arguments)...);
  if (e != cudaSuccess) cudaGetLastError();
  return e;
}

}  // namespace metabonk::cuda
