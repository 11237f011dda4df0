// Address: where contiguous numbers lie that the caller has checked, 0 for none. From Python it is
// an int and nothing that can be made into one: an array of one element would be, silently.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

namespace metabonk::bindings {

struct Address {
  uintptr_t value = 0;

  template <typename T>
  T* To() const {
    return reinterpret_cast<T*>(value);
  }
};

inline float* Floats(Address address) { return address.To<float>(); }
inline uint8_t* Bytes(Address address) { return address.To<uint8_t>(); }

}  // namespace metabonk::bindings

template <>
struct nanobind::detail::type_caster<metabonk::bindings::Address> {
  NB_TYPE_CASTER(metabonk::bindings::Address, const_name("int"))

  bool from_python(handle source, uint8_t, cleanup_list*) noexcept {
    if (!PyLong_CheckExact(source.ptr())) return false;
    value.value = PyLong_AsSize_t(source.ptr());
    if (PyErr_Occurred() == nullptr) return true;
    PyErr_Clear();
    return false;
  }
  static handle from_cpp(metabonk::bindings::Address address, rv_policy, cleanup_list*) noexcept {
    return PyLong_FromSize_t(address.value);
  }
};
