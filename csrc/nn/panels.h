// Weights in the order in which kernels read them: one block of bytes, front to back, once per
// product. Knows the layout and the way there and back from weights.h; multiplies nothing.
//
// Outputs come in tiles of four panels of 16, then in tiles of one panel. A tile is
//
//   float32 [16 panels]   scale of each output: the one per output, nvfp4's tensor scale, or 1
//   int32 [16 panels]     int8 only: -128 times the sum of each output's codes, the number that
//                         turns products with bytes 0..255 into those with -128..127
//   for each block of inputs that shares scales (all inputs where none do)
//     scales [16 panels]  as in weights.h; none where there is one per output
//     for each unit of 8 inputs (int8: 4), for each panel: the codes of a unit, by output 0..15
//       int8              4 bytes: inputs 0 1 2 3
//       fp8, mxfp8        4 bytes: inputs 0 2 1 3, and as many 64 bytes later for inputs 4 6 5 7
//       bf16              2 words: inputs 0 1, and 64, 128, 192 bytes later 2 3, 4 5, 6 7
//       int4, nvfp4       2 words of 4 codes, low first: inputs 0 2 4 6, 1 3 5 7
//
// so that 32 bits belong to one output. Orders are those in which vector code parts them into pairs
// of bf16 with the fewest instructions. Missing outputs and inputs are zeros.
#pragma once

#include <cstdint>

#include "nn/weights.h"

namespace metabonk::nn {

constexpr int kPanelOutputs = 16;
constexpr int kTilePanels = 4;

struct PanelLayout {
  explicit PanelLayout(const WeightShape& shape);

  // Tiles of four panels, then tiles of one.
  int tiles() const { return full_tiles + single_tiles; }
  int panels(int tile) const { return tile < full_tiles ? kTilePanels : 1; }
  int first_output(int tile) const {
    return tile < full_tiles ? tile * 64 : full_tiles * 64 + (tile - full_tiles) * kPanelOutputs;
  }
  int64_t offset(int tile) const { return first_output(tile) * bytes_per_output; }
  int64_t bytes() const { return offset(tiles() - 1) + panels(tiles() - 1) * panel_bytes(); }
  int64_t panel_bytes() const { return bytes_per_output * kPanelOutputs; }
  int header_bytes(int tile_panels) const { return header * kPanelOutputs * tile_panels; }

  WeightFormat format;
  int outputs, inputs;
  int full_tiles, single_tiles;
  int unit_inputs;    // 8, of int8 4
  int unit_bytes;     // of one panel
  int blocks, units;  // per tile, per block
  int scale_bytes;    // of one output in one block
  int header;         // bytes per output before the first block
  int padded_inputs;  // blocks * units * unit_inputs
  int64_t bytes_per_output;
};

// panels: layout.bytes(), which these fill or read whole.
void PackPanels(const PanelLayout& layout, const WeightArrays& from, uint8_t* panels);
void UnpackPanels(const PanelLayout& layout, const uint8_t* panels, const WeightArrays& to);

}  // namespace metabonk::nn
