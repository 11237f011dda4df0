// Arrays between numpy and the core: what every binding that writes into the caller's memory checks
// once. Knows no game.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <string>
#include <vector>

#include "metabonk/status.h"

namespace metabonk::bindings {

inline void RaiseUnlessOk(const Status& status) {
  if (status.ok()) return;
  throw nanobind::value_error((std::string(status.where) + ": " + status.what).c_str());
}

inline std::string ShapeText(const std::vector<size_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

// The memory of a numpy array after checking everything that later calls rely on: dtype, shape,
// C order, alignment, writeable, in main memory. Errors begin with `name`.
template <typename T>
T* CheckedArray(const std::string& name, nanobind::handle object, const std::vector<size_t>& shape,
                const char* dtype) {
  namespace nb = nanobind;
  using Array = nb::ndarray<nb::device::cpu>;
  const auto refuse = [&](const std::string& why) {
    throw nb::value_error((name + ": must " + why).c_str());
  };
  const auto not_numpy = [&] {
    throw nb::type_error((name + ": must be a numpy array in main memory").c_str());
  };
  if (!nb::hasattr(object, "flags") || !nb::hasattr(object, "__array_interface__")) not_numpy();
  if (!nb::cast<bool>(object.attr("flags").attr("writeable"))) refuse("be writeable");
  Array array;
  if (!nb::try_cast<Array>(object, array, false)) not_numpy();
  if (array.dtype() != nb::dtype<T>()) {
    throw nb::type_error((name + ": must have dtype " + dtype).c_str());
  }
  bool fits = array.ndim() == shape.size();
  bool contiguous = true;
  int64_t stride = 1;
  for (size_t i = shape.size(); fits && i-- > 0;) {
    fits = array.shape(i) == shape[i];
    contiguous = contiguous && (shape[i] <= 1 || array.stride(i) == stride);
    stride *= static_cast<int64_t>(shape[i]);
  }
  if (!fits) refuse("have shape " + ShapeText(shape));
  if (!contiguous) refuse("be C-contiguous, see numpy.ascontiguousarray");
  if (reinterpret_cast<uintptr_t>(array.data()) % alignof(T) != 0)
    refuse("be aligned to its dtype");
  return static_cast<T*>(array.data());
}

// How many rows a caller's arrays have, told by `reward`: all environments, or those of a receive.
inline size_t RowsOf(nanobind::handle reward, size_t num_envs, size_t batch_size) {
  const Py_ssize_t length = PyObject_Size(reward.ptr());
  if (length < 0) PyErr_Clear();  // no array at all, which its check will say
  return length == static_cast<Py_ssize_t>(num_envs) ? num_envs : batch_size;
}

// A new numpy array of zeros that owns its memory; `data` points at it.
template <typename T>
nanobind::object NewArray(const std::vector<size_t>& shape, T** data) {
  namespace nb = nanobind;
  size_t size = 1;
  for (const size_t side : shape) size *= side;
  *data = new T[size]();
  nb::capsule owner(*data, [](void* memory) noexcept { delete[] static_cast<T*>(memory); });
  return nb::cast(nb::ndarray<nb::numpy, T>(*data, shape.size(), shape.data(), owner));
}

}  // namespace metabonk::bindings
