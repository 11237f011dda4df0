#include "driver.h"

#include <dlfcn.h>

namespace metabonk::cuda {
namespace {

// What we use of the driver's interface, by the names and numbers of cuda.h, whose header would
// make the driver's library a thing to link.
constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
constexpr int kNoDevice = 100;
constexpr int kNameBytes = 256;

struct Driver {
  void* library = nullptr;
  int (*init)(unsigned) = nullptr;
  int (*count)(int*) = nullptr;
  int (*device)(int*, int) = nullptr;
  int (*name)(char*, int, int) = nullptr;
  int (*attribute)(int*, int, int) = nullptr;

  template <class Function>
  bool Find(Function** function, const char* symbol) {
    *function = reinterpret_cast<Function*>(dlsym(library, symbol));
    return *function != nullptr;
  }
  bool Load() {
    library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    return library != nullptr && Find(&init, "cuInit") && Find(&count, "cuDeviceGetCount") &&
           Find(&device, "cuDeviceGet") && Find(&name, "cuDeviceGetName") &&
           Find(&attribute, "cuDeviceGetAttribute");
  }
};

Devices Without(const std::string& why) { return {{}, why}; }

std::string Code(const char* call, int code) {
  return std::string("the driver's ") + call + " failed with code " + std::to_string(code);
}

}  // namespace

bool HasCodeFor(int major, int minor) {
  switch (major) {
    case 8:   // sm_80 and what is like it; sm_89
    case 10:  // the family of sm_100
      return true;
    case 9:
      return minor == 0;  // sm_90a
    default:
      return major >= 12;  // the family of sm_120, and PTX
  }
}

Devices FindDevices() {
  static Driver driver;
  static const bool loaded = driver.Load();
  if (driver.library == nullptr) return Without("no NVIDIA driver (libcuda.so.1)");
  if (!loaded) return Without("libcuda.so.1 lacks functions of CUDA's driver");
  const int init = driver.init(0);
  if (init == kNoDevice) return Without("an NVIDIA driver but no device");
  if (init != 0) return Without(Code("cuInit", init));
  int count = 0;
  if (const int e = driver.count(&count)) return Without(Code("cuDeviceGetCount", e));
  if (count == 0) return Without("an NVIDIA driver but no device");
  Devices devices;
  bool any = false;
  for (int i = 0; i < count; ++i) {
    int handle = 0, major = 0, minor = 0;
    char name[kNameBytes] = {};
    if (const int e = driver.device(&handle, i)) return Without(Code("cuDeviceGet", e));
    if (const int e = driver.name(name, kNameBytes - 1, handle)) {
      return Without(Code("cuDeviceGetName", e));
    }
    for (const auto& [attribute, value] : {std::pair{kMajor, &major}, std::pair{kMinor, &minor}}) {
      const int e = driver.attribute(value, attribute, handle);
      if (e != 0) return Without(Code("cuDeviceGetAttribute", e));
    }
    devices.found.push_back({name, major, minor, HasCodeFor(major, minor)});
    any = any || devices.found.back().runs;
  }
  if (!any) {
    const Device& first = devices.found.front();
    devices.why_not = first.name + " has compute capability " + std::to_string(first.major) + "." +
                      std::to_string(first.minor) +
                      "; there is code for 8.x, 9.0, 10.x and 12.0 up";
  }
  return devices;
}

}  // namespace metabonk::cuda
