#include "nn/panels.h"

#include <algorithm>
#include <cstring>

namespace metabonk::nn {

namespace {

int UnitBytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::kBf16:
      return 256;
    case WeightFormat::kFp8:
    case WeightFormat::kMxfp8:
      return 128;
    default:
      return 64;
  }
}

bool TwoPerByte(WeightFormat format) {
  return format == WeightFormat::kInt4 || format == WeightFormat::kNvfp4;
}

// Where the code of one output and input of a unit lies: in bytes from the unit's begin, and for
// half bytes how far up.
struct Place {
  int byte, shift;
};

Place PlaceOf(WeightFormat format, int output, int input) {
  switch (format) {
    case WeightFormat::kInt8:
      return {output * 4 + input, 0};
    case WeightFormat::kBf16:
      return {input / 2 * 64 + output * 4 + input % 2 * 2, 0};
    case WeightFormat::kFp8:
    case WeightFormat::kMxfp8: {
      constexpr int kOrder[4] = {0, 2, 1, 3};
      return {input / 4 * 64 + output * 4 + kOrder[input % 4], 0};
    }
    default: {
      const int nibble = input / 2;  // of the word of even or odd inputs
      return {output * 4 + input % 2 * 2 + nibble / 2, nibble % 2 * 4};
    }
  }
}

// Calls body(address within the panels of the code, shift, output, input) for every weight.
template <typename Body>
void EachCode(const PanelLayout& layout, const Body& body) {
  for (int tile = 0; tile < layout.tiles(); ++tile) {
    const int panels = layout.panels(tile);
    const int64_t block_bytes =
        int64_t{panels} * (kPanelOutputs * layout.scale_bytes + layout.units * layout.unit_bytes);
    const int first = layout.first_output(tile);
    const int last = std::min(layout.outputs, first + panels * kPanelOutputs);
    const int64_t begin = layout.offset(tile) + layout.header_bytes(panels);
    for (int n = first; n < last; ++n) {
      const int panel = (n - first) / kPanelOutputs, lane = (n - first) % kPanelOutputs;
      for (int k = 0; k < layout.inputs; ++k) {
        const int unit = k / layout.unit_inputs;
        const int64_t at = begin + unit / layout.units * block_bytes +
                           panels * kPanelOutputs * layout.scale_bytes +
                           (int64_t{unit % layout.units} * panels + panel) * layout.unit_bytes;
        const Place place = PlaceOf(layout.format, lane, k % layout.unit_inputs);
        body(at + place.byte, place.shift, n, k);
      }
    }
  }
}

// Calls body(address within the panels, output, block) for every scale of a block.
template <typename Body>
void EachScale(const PanelLayout& layout, const Body& body) {
  if (layout.scale_bytes == 0) return;
  for (int tile = 0; tile < layout.tiles(); ++tile) {
    const int panels = layout.panels(tile);
    const int64_t block_bytes =
        int64_t{panels} * (kPanelOutputs * layout.scale_bytes + layout.units * layout.unit_bytes);
    const int first = layout.first_output(tile);
    const int last = std::min(layout.outputs, first + panels * kPanelOutputs);
    const int64_t begin = layout.offset(tile) + layout.header_bytes(panels);
    for (int b = 0; b < layout.blocks; ++b) {
      for (int n = first; n < last; ++n) {
        body(begin + b * block_bytes + int64_t{n - first} * layout.scale_bytes, n, b);
      }
    }
  }
}

// The header's numbers of output n: its scale, then of int8 the start of its sums.
int64_t HeaderScale(const PanelLayout& layout, int n, int* panels) {
  const int tile = n < layout.full_tiles * 64
                       ? n / 64
                       : layout.full_tiles + (n - layout.full_tiles * 64) / kPanelOutputs;
  *panels = layout.panels(tile);
  return layout.offset(tile) + int64_t{n - layout.first_output(tile)} * 4;
}

void PackHeader(const PanelLayout& layout, const WeightArrays& from, uint8_t* panels) {
  for (int n = 0; n < layout.outputs; ++n) {
    int tile_panels = 0;
    uint8_t* to = panels + HeaderScale(layout, n, &tile_panels);
    float scale = 1.0f;
    if (layout.format == WeightFormat::kInt8 || layout.format == WeightFormat::kFp8) {
      std::memcpy(&scale, from.scales + int64_t{n} * 4, 4);
    } else if (layout.format == WeightFormat::kNvfp4) {
      scale = *from.tensor_scale;
    }
    std::memcpy(to, &scale, 4);
    if (layout.format != WeightFormat::kInt8) continue;
    int32_t sum = 0;
    const uint8_t* row = from.codes + int64_t{n} * layout.inputs;
    for (int k = 0; k < layout.inputs; ++k) sum += static_cast<int8_t>(row[k]);
    sum *= -128;
    std::memcpy(to + tile_panels * kPanelOutputs * 4, &sum, 4);
  }
}

}  // namespace

PanelLayout::PanelLayout(const WeightShape& shape)
    : format(shape.format), outputs(shape.outputs), inputs(shape.inputs) {
  full_tiles = outputs / (kTilePanels * kPanelOutputs);
  single_tiles = (outputs % (kTilePanels * kPanelOutputs) + kPanelOutputs - 1) / kPanelOutputs;
  unit_inputs = format == WeightFormat::kInt8 ? 4 : 8;
  unit_bytes = UnitBytes(format);
  if (const int block = BlockInputs(format); block != 0) {
    units = block / unit_inputs;
    blocks = (inputs + block - 1) / block;
    scale_bytes = format == WeightFormat::kInt4 ? 2 : 1;
  } else {
    units = (inputs + unit_inputs - 1) / unit_inputs;
    blocks = 1;
    scale_bytes = 0;
  }
  header = format == WeightFormat::kInt8 ? 8 : 4;
  padded_inputs = blocks * units * unit_inputs;
  bytes_per_output =
      header + int64_t{blocks} * (scale_bytes + int64_t{units} * unit_bytes / kPanelOutputs);
}

void PackPanels(const PanelLayout& layout, const WeightArrays& from, uint8_t* panels) {
  std::memset(panels, 0, static_cast<size_t>(layout.bytes()));
  const int64_t code_bytes = CodeBytes(layout.format, layout.inputs);
  const int64_t scale_row = ScaleBytes(layout.format, layout.inputs);
  const auto scale_bytes = static_cast<size_t>(layout.scale_bytes);
  PackHeader(layout, from, panels);
  EachScale(layout, [&](int64_t at, int n, int b) {
    std::memcpy(panels + at, from.scales + n * scale_row + b * layout.scale_bytes, scale_bytes);
  });
  EachCode(layout, [&](int64_t at, int shift, int n, int k) {
    const uint8_t* row = from.codes + n * code_bytes;
    if (layout.format == WeightFormat::kBf16) {
      std::memcpy(panels + at, row + int64_t{k} * 2, 2);
    } else if (TwoPerByte(layout.format)) {
      const int code = row[k / 2] >> (k % 2 * 4) & 15;
      panels[at] = static_cast<uint8_t>(panels[at] | code << shift);
    } else {
      panels[at] = row[k];
    }
  });
}

void UnpackPanels(const PanelLayout& layout, const uint8_t* panels, const WeightArrays& to) {
  const int64_t code_bytes = CodeBytes(layout.format, layout.inputs);
  const int64_t scale_row = ScaleBytes(layout.format, layout.inputs);
  const auto scale_bytes = static_cast<size_t>(layout.scale_bytes);
  int tile_panels = 0;
  if (layout.format == WeightFormat::kInt8 || layout.format == WeightFormat::kFp8) {
    for (int n = 0; n < layout.outputs; ++n) {
      std::memcpy(to.scales + int64_t{n} * 4, panels + HeaderScale(layout, n, &tile_panels), 4);
    }
  } else if (layout.format == WeightFormat::kNvfp4) {
    std::memcpy(to.tensor_scale, panels, 4);
  }
  EachScale(layout, [&](int64_t at, int n, int b) {
    std::memcpy(to.scales + n * scale_row + b * layout.scale_bytes, panels + at, scale_bytes);
  });
  std::memset(to.codes, 0, static_cast<size_t>(layout.outputs * code_bytes));
  EachCode(layout, [&](int64_t at, int shift, int n, int k) {
    uint8_t* row = to.codes + n * code_bytes;
    if (layout.format == WeightFormat::kBf16) {
      std::memcpy(row + int64_t{k} * 2, panels + at, 2);
    } else if (TwoPerByte(layout.format)) {
      const int code = panels[at] >> shift & 15;
      row[k / 2] = static_cast<uint8_t>(row[k / 2] | code << (k % 2 * 4));
    } else {
      row[k] = panels[at];
    }
  });
}

}  // namespace metabonk::nn
