/* Stands for NVIDIA's driver library where there is no GPU: agrees with everything and tells what is launched. */

#include <stdio.h>

#define AGREES(name) \
  int name(void) { return 0; }

#define AGREES_WITH(name, number) \
  int name(int *answer) { return *answer = (number), 0; }

AGREES(cuCtxGetDevice)
AGREES(cuCtxGetLimit)
AGREES(cuCtxSetCurrent)
AGREES(cuCtxSetLimit)
AGREES(cuDeviceGet)
AGREES(cuDevicePrimaryCtxRetain)
AGREES(cuFuncSetAttribute)
AGREES(cuFuncSetCacheConfig)
AGREES(cuGetErrorString)
AGREES(cuModuleGetFunction)
AGREES(cuModuleLoadData)
AGREES(cuModuleUnload)
AGREES(cuPointerGetAttribute)
AGREES(cuStreamIsCapturing)
AGREES_WITH(cuDeviceGetAttribute, 163 << 10)
AGREES_WITH(cuDriverGetVersion, 13000)
AGREES_WITH(cuFuncGetAttribute, 1024)

int cuCtxGetCurrent(void **context) { return *context = &context, 0; }

int cuLaunchKernelEx(const unsigned *config) {
  printf("%u %u %u\n", config[0], config[1], config[2]);
  return fflush(stdout);
}
