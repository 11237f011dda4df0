// Json: what a JSON text (RFC 8259) says, as a tree. Knows the grammar and is strict about it;
// knows nothing of what the text is for. Names within one object are unique, nesting is bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "metabonk/status.h"

namespace metabonk::play {

struct Json {
  enum class Kind { kNull, kTruth, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  bool truth = false;
  std::string text;                // of a string, in UTF-8; of a number, as it was written
  std::vector<Json> items;         // of an array or an object
  std::vector<std::string> names;  // of an object's items

  bool Is(Kind wanted) const { return kind == wanted; }
  // The item of that name, null if there is none or this is no object.
  const Json* Find(std::string_view name) const;
  // The number, if it is an integer within [0, most] written without sign, fraction or exponent.
  bool Integer(uint64_t most, uint64_t* value) const;
};

// Fills `json` from a text that holds one value and blanks round it.
Status ParseJson(std::string_view text, Json* json);

}  // namespace metabonk::play
