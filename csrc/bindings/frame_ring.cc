// metabonk._core.ipc: the frame ring, see ipc/ring_writer.h and ipc/ring_reader.h. Views of its
// memory are numpy arrays that keep alive what they look at: a lease ends with its last view.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bindings/hold.h"
#include "bindings/rooms.h"
#include "ipc/ring_file.h"
#include "ipc/ring_reader.h"
#include "ipc/ring_writer.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using ipc::FrameFormat;
using ipc::FrameInfo;
using ipc::FrameShape;
using ipc::Lease;
using ipc::RingReader;
using ipc::RingWriter;
using ipc::RowOrder;
using ipc::Take;

constexpr uint64_t kWorthUnlocking = 1
                                     << 16;  // bytes: copying less is over before others could run

void Raise(const Status& status) {
  if (status.ok()) return;
  const std::string text = std::string(status.where) + ": " + status.what;
  if (status.code == Code::kUnavailable) throw std::runtime_error(text);
  throw nb::value_error(text.c_str());
}

// One caller at a time of each end.
struct Writer {
  std::unique_ptr<RingWriter> ring;
  Gate gate;
  uint64_t begun = 0;
};
struct Reader {
  std::unique_ptr<RingReader> ring;
  Gate gate;
};

void MakeWriter(Writer* self, const std::string& name, uint64_t frame_bytes, uint32_t readers,
                uint32_t leases, const std::string& folder, bool wakes, bool locks) {
  const ipc::RingOptions options{.name = name,
                                 .frame_bytes = frame_bytes,
                                 .readers = readers,
                                 .leases = leases,
                                 .folder = folder,
                                 .wakes = wakes,
                                 .locks = locks,
                                 .beats = true};
  std::unique_ptr<RingWriter> ring;
  Status status;
  {
    const nb::gil_scoped_release release;  // it may watch another writer's heartbeat for a while
    status = RingWriter::Create(options, &ring);
  }
  Raise(status);
  new (self) Writer{std::move(ring), {}, 0};
}

RingWriter& Open(Writer& writer) {
  if (!writer.ring) throw std::runtime_error("ring: was closed");
  return *writer.ring;
}

std::span<uint8_t> Begin(RingWriter& ring, const FrameShape& shape) {
  std::span<uint8_t> pixels;
  Raise(ring.Begin(shape, &pixels));
  return pixels;
}

FrameShape Shape(uint32_t width, uint32_t height, uint32_t channels, uint32_t format,
                 uint32_t row_order, uint64_t bytes) {
  return {
      width, height, channels, static_cast<FrameFormat>(format), static_cast<RowOrder>(row_order),
      bytes};
}

template <typename Array>
nb::object Pixels(uint8_t* data, const FrameShape& shape, uint64_t bytes, uint64_t row_stride,
                  nb::handle owner) {
  const bool rows = shape.format != FrameFormat::kJpeg && shape.format != FrameFormat::kBytes;
  const size_t sides[3] = {rows ? shape.height : bytes, shape.width, shape.channels};
  const int64_t strides[3] = {rows ? static_cast<int64_t>(row_stride) : 1, shape.channels, 1};
  return nb::cast(Array(data, rows ? 3 : 1, sides, owner, strides));
}

nb::object BeginArray(Writer& writer, uint32_t width, uint32_t height, uint32_t channels,
                      uint32_t format, uint32_t row_order, uint64_t bytes) {
  const Hold hold(writer.gate);
  const FrameShape shape = Shape(width, height, channels, format, row_order, bytes);
  const std::span<uint8_t> pixels = Begin(Open(writer), shape);
  auto kept = std::make_unique<std::shared_ptr<const void>>(writer.ring->memory());
  const nb::capsule owner(kept.release(), [](void* memory) noexcept {
    delete static_cast<std::shared_ptr<const void>*>(memory);
  });
  return Pixels<nb::ndarray<nb::numpy, uint8_t>>(pixels.data(), shape, pixels.size(),
                                                 uint64_t{width} * channels, owner);
}

using Bytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;

void WriteFrame(Writer& writer, const FrameShape& shape, std::span<const uint8_t> frame,
                uint64_t step, uint64_t capture_ns) {
  const Hold hold(writer.gate);
  RingWriter& ring = Open(writer);
  Status status;
  if (frame.size() >= kWorthUnlocking) {
    const nb::gil_scoped_release release;
    status = ring.Write(shape, frame, step, capture_ns);
  } else {
    status = ring.Write(shape, frame, step, capture_ns);
  }
  Raise(status);
}

void Write(Writer& writer, const Bytes& frame, uint64_t step, uint64_t capture_ns, uint32_t width,
           uint32_t height, uint32_t channels, uint32_t format, uint32_t row_order) {
  WriteFrame(writer, Shape(width, height, channels, format, row_order, frame.size()),
             {frame.data(), frame.size()}, step, capture_ns);
}

using Picture = nb::ndarray<const uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

// Whether its channels say what it is.
bool WritePicture(Writer& writer, const Picture& frame, uint64_t step, uint64_t capture_ns,
                  uint32_t row_order) {
  constexpr FrameFormat kFormats[] = {FrameFormat::kBytes, FrameFormat::kGrey8, FrameFormat::kBytes,
                                      FrameFormat::kRgb8, FrameFormat::kRgba8};
  const size_t channels = frame.shape(2);
  if (channels >= std::size(kFormats) || kFormats[channels] == FrameFormat::kBytes) return false;
  const auto side = [](size_t pixels) {
    return static_cast<uint32_t>(std::min<size_t>(pixels, METABONK_RING_SIDE_MAX + 1));
  };
  const FrameShape shape{.width = side(frame.shape(1)),
                         .height = side(frame.shape(0)),
                         .channels = static_cast<uint32_t>(channels),
                         .format = kFormats[channels],
                         .row_order = static_cast<RowOrder>(row_order)};
  WriteFrame(writer, shape, {frame.data(), frame.size()}, step, capture_ns);
  return true;
}

nb::dict WriterCountsOf(Writer& writer) {
  const ipc::WriterCounts counts = Open(writer).counts();
  nb::dict found;
  found["frames"] = counts.frames;
  found["replaced"] = counts.replaced;
  found["readers_lost"] = counts.readers_lost;
  found["readers"] = counts.readers;
  return found;
}

void MakeReader(Reader* self, const std::string& name, const std::string& folder, uint32_t spin_us,
                uint32_t poll_us, bool locks) {
  std::unique_ptr<RingReader> ring;
  Raise(RingReader::Open({.name = name,
                          .folder = folder,
                          .spin_us = spin_us,
                          .poll_us = poll_us,
                          .locks = locks,
                          .beats = true},
                         &ring));
  new (self) Reader{std::move(ring), {}};
}

RingReader& Open(Reader& reader) {
  if (!reader.ring) throw std::runtime_error("ring: was closed");
  return *reader.ring;
}

// What came, and a lease where it is a frame.
nb::tuple TakeFrame(Reader& reader, int64_t timeout_ns, bool again) {
  const Hold hold(reader.gate);
  RingReader& ring = Open(reader);
  auto lease = std::make_unique<Lease>();
  // What is there already is taken without letting other Python threads in between.
  Take take = again ? ring.Again(0, lease.get()) : ring.Latest(0, lease.get());
  if (timeout_ns > 0 && take != Take::kFrame && take != Take::kNoLease) {
    const nb::gil_scoped_release release;
    take = again ? ring.Again(timeout_ns, lease.get()) : ring.Latest(timeout_ns, lease.get());
  }
  if (take != Take::kFrame) return nb::make_tuple(static_cast<int>(take), nb::none());
  return nb::make_tuple(static_cast<int>(take), nb::cast(std::move(lease)));
}

std::string Why(Reader& reader) {
  const Status why = Open(reader).why();
  return why.ok() ? std::string() : std::string(why.where) + ": " + why.what;
}

nb::dict ReaderCountsOf(Reader& reader) {
  const ipc::ReaderCounts counts = Open(reader).counts();
  nb::dict found;
  found["frames"] = counts.frames;
  found["skipped"] = counts.skipped;
  found["attached"] = counts.attached;
  found["looks"] = counts.looks;
  found["overtaken"] = counts.overtaken;
  found["awaited"] = counts.awaited;
  found["vain"] = counts.vain;
  found["refused"] = counts.refused;
  found["lost"] = counts.lost;
  found["reclaimed"] = counts.reclaimed;
  return found;
}

struct Region {
  uintptr_t address;
  uint64_t bytes;
  std::shared_ptr<const void> hold;
};

nb::object RegionOf(Reader& reader) {
  uint64_t bytes = 0;
  std::shared_ptr<const void> hold;
  uint8_t* data = Open(reader).Region(&bytes, &hold);
  if (data == nullptr) return nb::none();
  return nb::cast(Region{reinterpret_cast<uintptr_t>(data), bytes, std::move(hold)});
}

nb::object LeaseArray(nb::handle self) {
  const Lease& lease = nb::cast<const Lease&>(self);
  if (!lease) throw std::runtime_error("frame: was released");
  const FrameInfo& info = lease.info();
  const FrameShape shape{info.width,  info.height,    info.channels,
                         info.format, info.row_order, info.bytes};
  return Pixels<nb::ndarray<nb::numpy, nb::ro, uint8_t>>(const_cast<uint8_t*>(lease.data()), shape,
                                                         info.bytes, info.row_stride, self);
}

void BindWriter(nb::module_& module) {
  nb::class_<Writer>(module, "RingWriter", "See metabonk/link/ring.py.")
      .def("__init__", &MakeWriter, nb::arg("name"), nb::arg("frame_bytes"), nb::arg("readers"),
           nb::arg("leases"), nb::arg("folder"), nb::arg("wakes"), nb::arg("locks"))
      .def("begin", &BeginArray, nb::arg("width"), nb::arg("height"), nb::arg("channels"),
           nb::arg("format"), nb::arg("row_order"), nb::arg("bytes"),
           "Memory of the next frame, [height, width, channels] or [bytes]; to be written until "
           "commit.")
      .def(
          "commit",
          [](Writer& writer, uint64_t step, uint64_t capture_ns) {
            const Hold hold(writer.gate);
            Raise(Open(writer).Commit(step, capture_ns));
          },
          nb::arg("step"), nb::arg("capture_ns"))
      .def("abandon",
           [](Writer& writer) {
             const Hold hold(writer.gate);
             Open(writer).Abandon();
           })
      .def("write", &Write, nb::arg("frame").noconvert(), nb::arg("step"), nb::arg("capture_ns"),
           nb::arg("width"), nb::arg("height"), nb::arg("channels"), nb::arg("format"),
           nb::arg("row_order"), "Begin, a copy, and commit.")
      .def("write_picture", &WritePicture, nb::arg("frame").noconvert(), nb::arg("step"),
           nb::arg("capture_ns"), nb::arg("row_order"),
           "As write, of [height, width, channels] whose format its channels say; else False.")
      .def("close",
           [](Writer& writer) {
             const Hold hold(writer.gate);
             writer.ring.reset();
           })
      .def("counts", &WriterCountsOf)
      .def_prop_ro("closed", [](Writer& writer) { return !writer.ring; })
      .def_prop_ro("path", [](Writer& writer) { return Open(writer).path(); })
      .def_prop_ro("session", [](Writer& writer) { return Open(writer).session(); })
      .def_prop_ro("frame_bytes", [](Writer& writer) { return Open(writer).frame_bytes(); });
}

void BindReader(nb::module_& module) {
  nb::class_<Region>(module, "RingRegion", "Memory that stays mapped as long as this lives.")
      .def_ro("address", &Region::address)
      .def_ro("bytes", &Region::bytes);
  nb::class_<Reader>(module, "RingReader", "See metabonk/link/ring.py.")
      .def("__init__", &MakeReader, nb::arg("name"), nb::arg("folder"), nb::arg("spin_us"),
           nb::arg("poll_us"), nb::arg("locks"))
      .def("take", &TakeFrame, nb::arg("timeout_ns"), nb::arg("again"),
           "What came (0 frame, 1 timeout, 2 no writer, 3 no room, 4 no lease) and the lease.")
      .def("close",
           [](Reader& reader) {
             const Hold hold(reader.gate);
             reader.ring.reset();
           })
      .def("region", &RegionOf, "All pixels of the ring it is attached to; None without one.")
      .def("counts", &ReaderCountsOf)
      .def_prop_ro("closed", [](Reader& reader) { return !reader.ring; })
      .def_prop_ro("alive", [](Reader& reader) { return Open(reader).alive(); })
      .def_prop_ro("session", [](Reader& reader) { return Open(reader).session(); })
      .def_prop_ro("why", &Why);
}

void BindLease(nb::module_& module) {
  nb::class_<Lease>(module, "RingLease", "A frame that stays as it is until this goes.")
      .def("array", &LeaseArray, "Read-only view uint8, [height, width, channels] or [bytes].")
      .def("allow_writing", &Lease::AllowWriting)
      .def_prop_ro("valid", &Lease::Valid)
      .def_prop_ro("session", [](const Lease& lease) { return lease.info().session; })
      .def_prop_ro("number", [](const Lease& lease) { return lease.info().number; })
      .def_prop_ro("step", [](const Lease& lease) { return lease.info().step; })
      .def_prop_ro("capture_ns", [](const Lease& lease) { return lease.info().capture_ns; })
      .def_prop_ro("width", [](const Lease& lease) { return lease.info().width; })
      .def_prop_ro("height", [](const Lease& lease) { return lease.info().height; })
      .def_prop_ro("channels", [](const Lease& lease) { return lease.info().channels; })
      .def_prop_ro("bytes", [](const Lease& lease) { return lease.info().bytes; })
      .def_prop_ro("format",
                   [](const Lease& lease) { return static_cast<int>(lease.info().format); })
      .def_prop_ro("row_order",
                   [](const Lease& lease) { return static_cast<int>(lease.info().row_order); });
}

}  // namespace

void BindFrameRing(nb::module_& core) {
  nb::module_ module = core.def_submodule("ipc", "Shared memory between a game and its agent.");
  BindWriter(module);
  BindReader(module);
  BindLease(module);
  module.def("sweep_rings", &ipc::SweepRings, nb::arg("folder"),
             "Removes the rings of dead writers; how many those were.");
}

}  // namespace metabonk::bindings
