// Status: how the native core reports a failure without exceptions and without allocating.
#pragma once

#include <cstdint>

namespace metabonk {

enum class Code : int32_t {
  kOk = 0,
  kInvalidArgument,  // the caller passed something this call can never accept
  kOutOfRange,       // a number outside its documented interval
  kCorrupt,          // bytes from disk or wire that are not what they claim to be
  kVersionMismatch,  // well-formed, but written by another format version
  kUnavailable,      // the thing exists but cannot be used now
};

// `where` names the argument or field and `what` the remedy; both are string literals.
struct Status {
  Code code = Code::kOk;
  const char* where = "";
  const char* what = "";

  constexpr bool ok() const { return code == Code::kOk; }
  static constexpr Status Ok() { return {}; }
};

}  // namespace metabonk
