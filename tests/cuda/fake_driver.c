/* A stand-in for libcuda.so.1 that has the devices which the environment names: what `_cuda` does
 * with drivers that fail and devices that are too old. FAKE_CUDA: "init=CODE", "count=N",
 * "name=CODE" or "capability=MAJOR.MINOR". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const char* key, int otherwise) {
  const char* text = getenv("FAKE_CUDA");
  if (!text || strncmp(text, key, strlen(key)) || text[strlen(key)] != '=') return otherwise;
  return atoi(text + strlen(key) + 1);
}

int cuInit(unsigned flags) { return (void)flags, number("init", 0); }
int cuDeviceGetCount(int* count) { return *count = number("count", 1), 0; }
int cuDeviceGet(int* device, int i) { return *device = i, 0; }
int cuDeviceGetName(char* name, int length, int device) {
  snprintf(name, (size_t)length, "Fake GPU %d", device);
  return number("name", 0);
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  int major = 9, minor = 0;
  const char* text = getenv("FAKE_CUDA");
  (void)device;
  if (text && !strncmp(text, "capability=", 11)) sscanf(text + 11, "%d.%d", &major, &minor);
  *value = attribute == 75 ? major : attribute == 76 ? minor : -1;
  return 0;
}
