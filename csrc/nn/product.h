// Product: one product of matrices of float32 that is added to a third. Knows strides only.
#pragma once

#include <cstdint>

namespace metabonk::nn {

// C[m, n] += sum_p A[m * row + p * step] * B[p * ldb + n], rows of C ldc apart; then the same for
// the pieces of A that follow, `apart` behind each other, and the rows of B behind those before.
// Either step or row is 1, if there is more than one row.
struct Product {
  int rows, columns, depth;
  const float* a;
  int64_t row, step;
  const float* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  int pieces = 1;
  int64_t apart = 0;
};

}  // namespace metabonk::nn
