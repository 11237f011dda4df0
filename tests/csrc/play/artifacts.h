// Files for the tests of this folder: a directory that is removed at the end, safetensors files
// and artifacts of policies, written here by other means than those that read them.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "nn/programs.h"
#include "support/sha256.h"

namespace metabonk::play {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "metabonk-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
}

// A safetensors file of a header, filled up with blanks, and data.
inline std::string Container(std::string header, const std::string& data) {
  while (header.size() % 8 != 0) header += ' ';
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return bytes + header + data;
}

// What a policy's file of tensors holds: the words and the tensors of a program.
inline std::string PolicyBytes(const nn::Program& program, uint64_t weights = 1) {
  constexpr const char* kDtypes[] = {"F32", "I32", "U8"};
  std::string header = "{", data;
  const auto add = [&](const std::string& name, const char* dtype, const std::string& shape,
                       const void* from, size_t bytes) {
    header += (header.size() > 1 ? ",\"" : "\"") + name + "\":{\"dtype\":\"" + dtype +
              "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(data.size()) +
              "," + std::to_string(data.size() + bytes) + "]}";
    data.append(static_cast<const char*>(from), bytes);
  };
  const std::vector<int64_t> words = nn::WordsOf(program);
  add("program", "I64", std::to_string(words.size()), words.data(), words.size() * 8);
  const nn::TensorData tensors(program, weights);
  for (const bool bytes : {false, true}) {  // so that all begin at multiples of their size
    for (size_t i = 0; i < program.tensors.size(); ++i) {
      const nn::Slot& slot = program.tensors[i];
      if ((slot.type == nn::Type::kU8) != bytes) continue;
      std::string shape;
      for (int k = 0; k < slot.rank; ++k) {
        if (k) shape += ',';
        shape += std::to_string(slot.sizes[static_cast<size_t>(k)]);
      }
      add(slot.name, kDtypes[static_cast<int>(slot.type)], shape, tensors.addresses()[i],
          static_cast<size_t>(slot.count() * SizeOf(slot.type)));
    }
  }
  return Container(header + "}", data);
}

inline std::string CardOf(const std::string& tensors, uint64_t seed,
                          const std::string& kind = "policy", int format = 1) {
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(tensors.data()),
                                       tensors.size());
  return "{\"kind\": \"" + kind + "\", \"seed\": " + std::to_string(seed) +
         ", \"format\": " + std::to_string(format) +
         ", \"files\": {\"policy.safetensors\": {\"sha256\": \"" + Sha256(bytes) +
         "\", \"size\": " + std::to_string(tensors.size()) + "}}}\n";
}

inline void WritePolicy(const std::string& path, const nn::Program& program, uint64_t seed,
                        uint64_t weights = 1) {
  std::filesystem::create_directory(path);
  const std::string tensors = PolicyBytes(program, weights);
  Write(path + "/policy.safetensors", tensors);
  Write(path + "/card.json", CardOf(tensors, seed));
}

}  // namespace metabonk::play
