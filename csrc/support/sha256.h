// SHA-256 (FIPS 180-4): the hash by which files are known to be the ones that were written.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace metabonk {

// In hexadecimal, 64 small letters and digits.
std::string Sha256(std::span<const uint8_t> bytes);

}  // namespace metabonk
