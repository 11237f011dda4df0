// The checks of batch.h that are the same for every room, once and not per template.
#include "bindings/batch.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

const char* NameOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
      return "uint8";
    case Dtype::kInt32:
      return "int32";
    case Dtype::kFloat32:
      break;
  }
  return "float32";
}

}  // namespace

void CheckCounts(int num_envs, int threads, int batch_size) {
  if (num_envs < 1) throw nb::value_error("num_envs: must be at least 1");
  if (threads < 1 || threads > 1024) throw nb::value_error("threads: must be from 1 to 1024");
  if (batch_size < 0 || batch_size > num_envs) {
    throw nb::value_error("batch_size: must be from 1 to num_envs, or 0 for num_envs");
  }
}

void CheckSeeds(const Seeds& seeds, int num_envs) {
  if (seeds.shape(0) == static_cast<size_t>(num_envs)) return;
  throw nb::value_error("seeds: must have shape (num_envs,)");
}

void CheckActions(const Actions& actions, size_t rows, size_t columns) {
  if (actions.shape(0) == rows && actions.shape(1) == columns) return;
  throw nb::value_error(("actions: must have shape " + ShapeText({rows, columns})).c_str());
}

const ObservationArray& Find(const std::vector<ObservationArray>& arrays, const std::string& name) {
  for (const ObservationArray& array : arrays) {
    if (array.name != name) continue;
    if (array.unavailable == nullptr) return array;
    throw nb::value_error((name + ": " + array.unavailable).c_str());
  }
  throw nb::key_error(("observation: has no array '" + name + "', see layout()").c_str());
}

void* CheckedRows(const ObservationArray& array, nb::handle object, size_t rows) {
  std::vector<size_t> shape = array.shape;
  shape.insert(shape.begin(), rows);
  const char* dtype = NameOf(array.dtype);
  switch (array.dtype) {
    case Dtype::kUint8:
      return CheckedArray<uint8_t>(array.name, object, shape, dtype);
    case Dtype::kInt32:
      return CheckedArray<int32_t>(array.name, object, shape, dtype);
    case Dtype::kFloat32:
      break;
  }
  return CheckedArray<float>(array.name, object, shape, dtype);
}

nb::dict LayoutOf(const std::vector<ObservationArray>& arrays) {
  nb::dict layout;
  for (const ObservationArray& array : arrays) {
    nb::list shape;
    for (const size_t side : array.shape) shape.append(side);
    layout[array.name.c_str()] = nb::make_tuple(nb::tuple(shape), NameOf(array.dtype));
  }
  return layout;
}

}  // namespace metabonk::bindings
