// What the bindings of CUDA kernels share.
#pragma once

#include <api.h>
#include <cuda_runtime_api.h>
#include <nanobind/nanobind.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace metabonk::bindings {

using Address = uintptr_t;  // in device memory, or a stream; 0 for none

template <class T>
T* At(Address address) {
  return reinterpret_cast<T*>(address);
}

// Raises RuntimeError with CUDA's own words, or ValueError where a kernel refuses.
inline void RaiseUnlessStarted(const char* op, int code) {
  if (code == 0) return;
  const std::string start = std::string(op) + ": ";
  switch (code) {
    case kMetabonkCudaBadSize:
      throw nanobind::value_error((start + "a size that the kernel does not take").c_str());
    case kMetabonkCudaNoRoom:
      throw nanobind::value_error((start + "too large for the device's shared memory").c_str());
    case kMetabonkCudaBadDevice:
      throw nanobind::value_error((start + "the device lacks the instructions").c_str());
    default:
      throw std::runtime_error(start + "CUDA error " + std::to_string(code) + ": " +
                               cudaGetErrorString(static_cast<cudaError_t>(code)));
  }
}

void BindCudaCfc(nanobind::module_& module);
void BindCudaLinear(nanobind::module_& module);
void BindCudaFrames(nanobind::module_& module);
void BindCudaRssm(nanobind::module_& module);
void BindCudaFloors(nanobind::module_& module);

}  // namespace metabonk::bindings
