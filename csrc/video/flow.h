// DenseFlow: where every pixel of one picture lies in another one, and what a picture becomes when
// that motion goes on. Knows pictures of bytes; not games, times or strips.
//
// Dense inverse search (Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse
// Search, ECCV 2016, without its variational step): patches of 8 x 8 grey pixels on a grid of 4,
// coarse to fine. Each begins at the best of what the coarser level, its neighbours and standing
// still propose, and follows the gradient of its squared difference, less the patch's mean, so that
// a flash of light is no motion. A pixel moves as the patches around it do, weighed by how well
// each explains it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metabonk/status.h"

namespace metabonk::video {

inline constexpr int kSmallestFlow = 16;   // of either side
inline constexpr int kLargestFlow = 4096;  // likewise

// For pictures of one size. Everything is allocated by the constructor. One caller at a time.
class DenseFlow {
 public:
  static Status Check(int height, int width);
  // Sizes that Check accepts. Pictures with sides of 128 or more are searched at half their size.
  DenseFlow(int height, int width);

  // before, now: RGB [height, width, 3], top row first. Finds for every pixel of `now` where it was
  // in `before`.
  void Run(const uint8_t* before, const uint8_t* now);

  // What Run found: x and y in pixels of the picture per element, [flow_height, flow_width, 2].
  std::span<const float> flow() const { return flow_; }
  int flow_height() const { return levels_.front().height; }
  int flow_width() const { return levels_.front().width; }

  // `now` [height, width, 3] after the motion went on for `steps` times the time that lay between
  // the two pictures; edges are repeated. out must not overlap `now`.
  void Extrapolate(const uint8_t* now, float steps, uint8_t* out) const;

 private:
  // A grey picture with repeated edges around it, so that a patch may hang over.
  struct Level {
    int height, width;
    std::vector<float> now, before;       // [height + 2 kEdge, width + 2 kEdge]
    std::vector<float> slope_x, slope_y;  // of now, [height, width]
    int rows, columns;                    // of patches
    std::vector<float> patches;           // [rows, columns, 2]
  };
  struct Patch;

  void Grey(const uint8_t* rgb, std::vector<float>* to) const;
  void Halve(const Level& from, Level* to) const;
  void Slopes(Level* level) const;
  void Search(Level* level, bool coarsest);
  void Refine(const Level& level, Patch* patch) const;
  void Densify(const Level& level);
  void Upsample(const Level& from, const Level& to);

  int height_, width_, scale_;
  std::vector<Level> levels_;       // the finest first
  std::vector<float> flow_, sums_;  // [h, w, 2], [h, w, 3], of the level in work
  std::vector<float> coarser_;      // [h, w, 2] of the level before
};

}  // namespace metabonk::video
