// Which devices there are, as the driver says. Loads libcuda.so.1 when asked and not before, so
// that whatever links this starts on a machine that has none. No kernels.
#pragma once

#include <string>
#include <vector>

namespace metabonk::cuda {

struct Device {
  std::string name;
  int major, minor;  // compute capability
  bool runs;         // whether this build has code for it
};

// All devices, or none and why. why_not is empty if at least one of them runs our code.
struct Devices {
  std::vector<Device> found;
  std::string why_not;
};

Devices FindDevices();

// Whether code of this build runs on a device of this capability.
bool HasCodeFor(int major, int minor);

}  // namespace metabonk::cuda
