#include "video/flow.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace metabonk::video {

namespace {

constexpr int kPatch = 8, kStride = 4, kPixels = kPatch * kPatch;
constexpr int kEdge = 16;         // how far a patch may hang over
constexpr int kCoarsest = 24;     // no side of a level is shorter
constexpr int kRounds = 10;       // of gradient descent
constexpr float kEnough = 0.02f;  // pixels of a step that is the last
constexpr float kFar = 8.0f;      // pixels from where the search began: it has lost its way
constexpr float kFlat = 64.0f;    // of curvature: less says nothing of where it moved

size_t Size(int height, int width) {
  return static_cast<size_t>(height) * static_cast<size_t>(width);
}

int Stride(int width) { return width + 2 * kEdge; }

// Where pixel (y, x) lies in a picture with edges.
ptrdiff_t At(int width, int y, int x) {
  return static_cast<ptrdiff_t>(y + kEdge) * Stride(width) + x + kEdge;
}

// Repeats the border outwards.
void Extend(int height, int width, float* picture) {
  for (int y = 0; y < height; ++y) {
    float* row = picture + At(width, y, 0);
    std::fill(row - kEdge, row, row[0]);
    std::fill(row + width, row + width + kEdge, row[width - 1]);
  }
  const size_t bytes = static_cast<size_t>(Stride(width)) * sizeof(float);
  for (int k = 1; k <= kEdge; ++k) {
    std::memcpy(picture + At(width, -k, -kEdge), picture + At(width, 0, -kEdge), bytes);
    std::memcpy(picture + At(width, height - 1 + k, -kEdge),
                picture + At(width, height - 1, -kEdge), bytes);
  }
}

// The patch of `picture` whose corner is at (y, x), between pixels; the corner is kept where the
// edges still are.
void Sample(const std::vector<float>& picture, int height, int width, float y, float x,
            float* out) {
  const float limit_y = static_cast<float>(height + kEdge - kPatch - 2);
  const float limit_x = static_cast<float>(width + kEdge - kPatch - 2);
  y = std::clamp(y, static_cast<float>(-kEdge), limit_y);
  x = std::clamp(x, static_cast<float>(-kEdge), limit_x);
  const int top = static_cast<int>(std::floor(y)), left = static_cast<int>(std::floor(x));
  const float fy = y - static_cast<float>(top), fx = x - static_cast<float>(left);
  const float a = (1 - fy) * (1 - fx), b = (1 - fy) * fx, c = fy * (1 - fx), d = fy * fx;
  for (int i = 0; i < kPatch; ++i) {
    const float* first = picture.data() + At(width, top + i, left);
    const float* second = first + Stride(width);
    for (int k = 0; k < kPatch; ++k) {
      out[i * kPatch + k] = a * first[k] + b * first[k + 1] + c * second[k] + d * second[k + 1];
    }
  }
}

float Mean(const float* patch) {
  float sum = 0.0f;
  for (int i = 0; i < kPixels; ++i) sum += patch[i];
  return sum / static_cast<float>(kPixels);
}

// One value between the pixels of [height, width, channels], edges repeated.
struct Between {
  int low, high;
  float weight;  // of `high`
  Between(float at, int size) {
    at = std::clamp(at, 0.0f, static_cast<float>(size - 1));
    low = static_cast<int>(at);
    high = std::min(low + 1, size - 1);
    weight = at - static_cast<float>(low);
  }
};

int PatchesAlong(int size) { return (size - kPatch + kStride - 1) / kStride + 1; }

// The corner of patch `i`; the last one ends where the picture does.
int CornerOf(int i, int size) { return std::min(i * kStride, size - kPatch); }

}  // namespace

// One patch in work: where it is, what it shows, and where it seems to have come from.
struct DenseFlow::Patch {
  int y, x;
  float shows[kPixels];                      // less its mean
  float slope_x[kPixels], slope_y[kPixels];  // likewise
  float xx, xy, yy;                          // curvature of the squared difference
  float u, v, error;

  void Load(const Level& level) {
    for (int i = 0; i < kPatch; ++i) {
      const size_t row = Size(y + i, level.width) + static_cast<size_t>(x);
      std::memcpy(shows + i * kPatch, level.now.data() + At(level.width, y + i, x),
                  kPatch * sizeof(float));
      std::memcpy(slope_x + i * kPatch, level.slope_x.data() + row, kPatch * sizeof(float));
      std::memcpy(slope_y + i * kPatch, level.slope_y.data() + row, kPatch * sizeof(float));
    }
    for (float* part : {shows, slope_x, slope_y}) {
      const float mean = Mean(part);
      for (int i = 0; i < kPixels; ++i) part[i] -= mean;
    }
    xx = xy = yy = 0.0f;
    for (int i = 0; i < kPixels; ++i) {
      xx += slope_x[i] * slope_x[i];
      xy += slope_x[i] * slope_y[i];
      yy += slope_y[i] * slope_y[i];
    }
  }

  // What is left between this patch and the one that is (u, v) away in `before`; returns its sum of
  // squares.
  float Difference(const Level& level, float from_u, float from_v, float* left) const {
    Sample(level.before, level.height, level.width, static_cast<float>(y) + from_v,
           static_cast<float>(x) + from_u, left);
    const float mean = Mean(left);
    float sum = 0.0f;
    for (int i = 0; i < kPixels; ++i) {
      left[i] -= mean + shows[i];
      sum += left[i] * left[i];
    }
    return sum;
  }

  void Propose(const Level& level, float of_u, float of_v) {
    float left[kPixels];
    const float sum = Difference(level, of_u, of_v, left);
    if (sum < error) {
      error = sum;
      u = of_u;
      v = of_v;
    }
  }
};

Status DenseFlow::Check(int height, int width) {
  for (const auto& [name, side] : {std::pair{"height", height}, std::pair{"width", width}}) {
    if (side < kSmallestFlow || side > kLargestFlow) {
      return {Code::kOutOfRange, name, "must be 16 to 4096 pixels"};
    }
  }
  return Status::Ok();
}

DenseFlow::DenseFlow(int height, int width)
    : height_(height), width_(width), scale_(std::min(height, width) >= 128 ? 2 : 1) {
  int rows = height / scale_, columns = width / scale_;
  do {
    Level level;
    level.height = rows;
    level.width = columns;
    level.now.resize(Size(rows + 2 * kEdge, columns + 2 * kEdge));
    level.before.resize(level.now.size());
    level.slope_x.resize(Size(rows, columns));
    level.slope_y.resize(level.slope_x.size());
    level.rows = PatchesAlong(rows);
    level.columns = PatchesAlong(columns);
    level.patches.resize(2 * Size(level.rows, level.columns));
    levels_.push_back(std::move(level));
    rows /= 2;
    columns /= 2;
  } while (std::min(rows, columns) >= kCoarsest);
  const Level& finest = levels_.front();
  flow_.resize(2 * Size(finest.height, finest.width));
  coarser_.resize(flow_.size());
  sums_.resize(3 * Size(finest.height, finest.width));
}

// Luma at the finest level: BT.601 weights, the mean of 2 x 2 where it is searched at half size.
void DenseFlow::Grey(const uint8_t* rgb, std::vector<float>* to) const {
  const Level& finest = levels_.front();
  const float share = 1.0f / static_cast<float>(scale_ * scale_);
  for (int y = 0; y < finest.height; ++y) {
    float* out = to->data() + At(finest.width, y, 0);
    for (int x = 0; x < finest.width; ++x) {
      float sum = 0.0f;
      for (int i = 0; i < scale_; ++i) {
        const uint8_t* at = rgb + 3 * (Size(y * scale_ + i, width_) +
                                       static_cast<size_t>(x) * static_cast<size_t>(scale_));
        for (int k = 0; k < scale_; ++k, at += 3) {
          sum += 0.299f * static_cast<float>(at[0]) + 0.587f * static_cast<float>(at[1]) +
                 0.114f * static_cast<float>(at[2]);
        }
      }
      out[x] = sum * share;
    }
  }
  Extend(finest.height, finest.width, to->data());
}

void DenseFlow::Halve(const Level& from, Level* to) const {
  for (auto [source, sink] :
       {std::pair{&from.now, &to->now}, std::pair{&from.before, &to->before}}) {
    for (int y = 0; y < to->height; ++y) {
      const float* first = source->data() + At(from.width, 2 * y, 0);
      const float* second = first + Stride(from.width);
      float* out = sink->data() + At(to->width, y, 0);
      for (int x = 0; x < to->width; ++x) {
        out[x] = 0.25f * (first[2 * x] + first[2 * x + 1] + second[2 * x] + second[2 * x + 1]);
      }
    }
    Extend(to->height, to->width, sink->data());
  }
}

void DenseFlow::Slopes(Level* level) const {
  const int stride = Stride(level->width);
  for (int y = 0; y < level->height; ++y) {
    const float* at = level->now.data() + At(level->width, y, 0);
    float* along = level->slope_x.data() + Size(y, level->width);
    float* down = level->slope_y.data() + Size(y, level->width);
    for (int x = 0; x < level->width; ++x) {
      along[x] = 0.5f * (at[x + 1] - at[x - 1]);
      down[x] = 0.5f * (at[x + stride] - at[x - stride]);
    }
  }
}

// Follows the gradient from the patch's proposal; what does not end better is given up.
void DenseFlow::Refine(const Level& level, Patch* patch) const {
  const float determinant = patch->xx * patch->yy - patch->xy * patch->xy;
  if (!(determinant > kFlat * (patch->xx + patch->yy))) return;
  const float begin_u = patch->u, begin_v = patch->v;
  float u = begin_u, v = begin_v, left[kPixels];
  for (int round = 0; round < kRounds; ++round) {
    const float sum = patch->Difference(level, u, v, left);
    if (sum < patch->error) {
      patch->error = sum;
      patch->u = u;
      patch->v = v;
    }
    float x = 0.0f, y = 0.0f;
    for (int i = 0; i < kPixels; ++i) {
      x += patch->slope_x[i] * left[i];
      y += patch->slope_y[i] * left[i];
    }
    const float du = (patch->yy * x - patch->xy * y) / determinant;
    const float dv = (patch->xx * y - patch->xy * x) / determinant;
    u -= du;
    v -= dv;
    const float away = std::hypot(u - begin_u, v - begin_v);
    if (!(away < kFar) || std::hypot(du, dv) < kEnough) break;
  }
  if (std::hypot(u - begin_u, v - begin_v) < kFar) patch->Propose(level, u, v);
}

void DenseFlow::Search(Level* level, bool coarsest) {
  Patch patch;
  for (int row = 0; row < level->rows; ++row) {
    for (int column = 0; column < level->columns; ++column) {
      patch.y = CornerOf(row, level->height);
      patch.x = CornerOf(column, level->width);
      patch.Load(*level);
      patch.error = INFINITY;
      patch.Propose(*level, 0.0f, 0.0f);
      if (!coarsest) {
        const size_t centre = 2 * (Size(patch.y + kPatch / 2, level->width) +
                                   static_cast<size_t>(patch.x + kPatch / 2));
        patch.Propose(*level, coarser_[centre], coarser_[centre + 1]);
      }
      float* found =
          level->patches.data() + 2 * (Size(row, level->columns) + static_cast<size_t>(column));
      if (column > 0) patch.Propose(*level, found[-2], found[-1]);
      if (row > 0) {
        const float* above = found - 2 * static_cast<ptrdiff_t>(level->columns);
        patch.Propose(*level, above[0], above[1]);
      }
      Refine(*level, &patch);
      found[0] = patch.u;
      found[1] = patch.v;
    }
  }
}

// Every pixel moves as the patches over it do, weighed by what each leaves unexplained there.
void DenseFlow::Densify(const Level& level) {
  std::fill_n(sums_.begin(), 3 * Size(level.height, level.width), 0.0f);
  float came[kPixels];
  for (int row = 0; row < level.rows; ++row) {
    for (int column = 0; column < level.columns; ++column) {
      const int y = CornerOf(row, level.height), x = CornerOf(column, level.width);
      const float* motion =
          level.patches.data() + 2 * (Size(row, level.columns) + static_cast<size_t>(column));
      Sample(level.before, level.height, level.width, static_cast<float>(y) + motion[1],
             static_cast<float>(x) + motion[0], came);
      for (int i = 0; i < kPatch; ++i) {
        const float* now = level.now.data() + At(level.width, y + i, x);
        float* sum = sums_.data() + 3 * (Size(y + i, level.width) + static_cast<size_t>(x));
        for (int k = 0; k < kPatch; ++k, sum += 3) {
          const float weight = 1.0f / std::max(1.0f, std::fabs(came[i * kPatch + k] - now[k]));
          sum[0] += weight * motion[0];
          sum[1] += weight * motion[1];
          sum[2] += weight;
        }
      }
    }
  }
  const size_t pixels = Size(level.height, level.width);
  for (size_t i = 0; i < pixels; ++i) {
    flow_[2 * i] = sums_[3 * i] / sums_[3 * i + 2];
    flow_[2 * i + 1] = sums_[3 * i + 1] / sums_[3 * i + 2];
  }
}

// The flow of one level as the next finer one begins with it: twice as far.
void DenseFlow::Upsample(const Level& from, const Level& to) {
  for (int y = 0; y < to.height; ++y) {
    const int above = std::min(y / 2, from.height - 1);
    for (int x = 0; x < to.width; ++x) {
      const size_t of =
          2 * (Size(above, from.width) + static_cast<size_t>(std::min(x / 2, from.width - 1)));
      const size_t at = 2 * (Size(y, to.width) + static_cast<size_t>(x));
      coarser_[at] = 2.0f * flow_[of];
      coarser_[at + 1] = 2.0f * flow_[of + 1];
    }
  }
}

void DenseFlow::Run(const uint8_t* before, const uint8_t* now) {
  Grey(before, &levels_.front().before);
  Grey(now, &levels_.front().now);
  for (size_t i = 1; i < levels_.size(); ++i) Halve(levels_[i - 1], &levels_[i]);
  for (size_t i = levels_.size(); i-- > 0;) {
    const bool coarsest = i + 1 == levels_.size();
    Slopes(&levels_[i]);
    if (!coarsest) Upsample(levels_[i + 1], levels_[i]);
    Search(&levels_[i], coarsest);
    Densify(levels_[i]);
  }
  if (scale_ == 1) return;
  for (float& part : flow_) part *= static_cast<float>(scale_);
}

void DenseFlow::Extrapolate(const uint8_t* now, float steps, uint8_t* out) const {
  const Level& finest = levels_.front();
  const float shrink = 1.0f / static_cast<float>(scale_);
  for (int y = 0; y < height_; ++y) {
    const Between rows((static_cast<float>(y) + 0.5f) * shrink - 0.5f, finest.height);
    const float* high = flow_.data() + 2 * Size(rows.low, finest.width);
    const float* low = flow_.data() + 2 * Size(rows.high, finest.width);
    for (int x = 0; x < width_; ++x, out += 3) {
      const Between columns((static_cast<float>(x) + 0.5f) * shrink - 0.5f, finest.width);
      float motion[2];
      for (int k = 0; k < 2; ++k) {
        const float above = high[2 * columns.low + k] * (1 - columns.weight) +
                            high[2 * columns.high + k] * columns.weight;
        const float below = low[2 * columns.low + k] * (1 - columns.weight) +
                            low[2 * columns.high + k] * columns.weight;
        motion[k] = steps * (above * (1 - rows.weight) + below * rows.weight);
      }
      // What will be here is what comes from where this pixel's motion points back to.
      const Between at_y(static_cast<float>(y) + motion[1], height_);
      const Between at_x(static_cast<float>(x) + motion[0], width_);
      const uint8_t* top = now + 3 * Size(at_y.low, width_);
      const uint8_t* bottom = now + 3 * Size(at_y.high, width_);
      for (int c = 0; c < 3; ++c) {
        const float above = static_cast<float>(top[3 * at_x.low + c]) * (1 - at_x.weight) +
                            static_cast<float>(top[3 * at_x.high + c]) * at_x.weight;
        const float below = static_cast<float>(bottom[3 * at_x.low + c]) * (1 - at_x.weight) +
                            static_cast<float>(bottom[3 * at_x.high + c]) * at_x.weight;
        out[c] = static_cast<uint8_t>(above * (1 - at_y.weight) + below * at_y.weight + 0.5f);
      }
    }
  }
}

}  // namespace metabonk::video
