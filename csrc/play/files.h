// A file's bytes in memory. Knows the file system; nothing of formats.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "metabonk/status.h"
#include "support/buffer.h"

namespace metabonk::play {

bool IsDirectory(const std::string& path);

// All of a file of at most `most` bytes. It is read, not mapped: what another program does to the
// file later must not reach a game.
Status ReadFile(const std::string& path, uint64_t most, Buffer<uint64_t>* memory,
                std::span<const uint8_t>* bytes);

}  // namespace metabonk::play
