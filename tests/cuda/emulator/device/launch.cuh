// Stands in for kernels/cuda/device/launch.cuh: kernels run on the emulated machine, at once.
#pragma once

#include <machine.h>

namespace metabonk::cuda {

struct Limits {
  int major, minor, multiprocessors, shared_bytes;
};

inline int LimitsOfDevice(Limits* limits) {
  const emulator::Settings& s = emulator::settings;
  *limits = {s.major, s.minor, s.multiprocessors, s.shared_bytes};
  return 0;
}

struct LaunchShape {
  int blocks, threads;
  size_t shared = 0;
  int cluster = 1;
  bool cooperative = false;
};

template <class... Parameters>
bool Fits(void (*)(Parameters...), const LaunchShape& shape) {
  return emulator::settings.major >= 9 &&
         shape.shared <= static_cast<size_t>(emulator::settings.shared_bytes);
}

template <class... Parameters, class... Arguments>
int Launch(void (*kernel)(Parameters...), const LaunchShape& s, void*, Arguments&&... arguments) {
  return emulator::Run({s.blocks, s.threads, s.shared, s.cluster, s.cooperative},
                       [&] { kernel(arguments...); });
}

}  // namespace metabonk::cuda
