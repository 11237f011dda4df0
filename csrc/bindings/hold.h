// One call at a time: calls release the GIL, so Python threads could otherwise meet in one batch.
#pragma once

#include <stdexcept>
#include <string>

#include "games/batch.h"

namespace metabonk::bindings {

// Held from the beginning of a call to its end; raises RuntimeError in whoever comes second.
class Hold {
 public:
  explicit Hold(Gate& gate) : turn_(gate) {
    const Status status = turn_.status();
    if (!status.ok()) throw std::runtime_error(std::string(status.where) + ": " + status.what);
  }

 private:
  Gate::Turn turn_;
};

}  // namespace metabonk::bindings
