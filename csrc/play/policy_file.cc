#include "play/policy_file.h"

#include <algorithm>
#include <string_view>

#include "nn/policy.h"
#include "play/files.h"
#include "play/json.h"
#include "support/sha256.h"

namespace metabonk::play {

namespace {

constexpr const char* kCard = "card.json";
constexpr const char* kTensors = "policy.safetensors";
constexpr const char* kWords = "program";
constexpr uint64_t kFormat = 1;  // of artifacts, the highest that is known
constexpr uint64_t kCardMax = uint64_t{16} << 20;
constexpr uint64_t kFileMax = uint64_t{1} << 36;
constexpr int64_t kRowsMax = 1 << 24;   // games, and numbers of an action
constexpr int64_t kDrawsMax = 1 << 28;  // per step

constexpr const char* kRestore = ": restore it from a copy or save the policy again";

Failure Wrong(const std::string& path, Code code, const std::string& what) {
  return {code, path + ": " + what};
}

Failure Wrong(const std::string& path, const Status& status) {
  return {status.code, path + ": " + status.where + ": " + status.what};
}

// What a card says of the file of tensors.
struct Card {
  uint64_t seed = 0, bytes = 0;
  std::string sha256;
};

Failure ReadCard(const std::string& path, Card* card) {
  Buffer<uint64_t> memory;
  std::span<const uint8_t> bytes;
  if (const Status status = ReadFile(path, kCardMax, &memory, &bytes); !status.ok()) {
    return Wrong(path, status);
  }
  Json json;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (const Status status = ParseJson(text, &json); !status.ok()) {
    return Wrong(path, status.code, std::string("damaged card: ") + status.what + kRestore);
  }
  const Json *kind = json.Find("kind"), *format = json.Find("format"), *seed = json.Find("seed"),
             *files = json.Find("files");
  uint64_t version;
  if (!kind || !format || !seed || !files || !kind->Is(Json::Kind::kString)) {
    return Wrong(path, Code::kCorrupt, std::string("no artifact's card") + kRestore);
  }
  if (!format->Integer(UINT64_MAX, &version) || version > kFormat) {
    return Wrong(path, Code::kVersionMismatch, "an artifact of a later version: update metabonk");
  }
  if (kind->text != "policy") {
    return Wrong(path, Code::kInvalidArgument,
                 "an artifact of kind '" + kind->text + "', not 'policy': compile and save one");
  }
  const Json* entry = files->Find(kTensors);
  const Json* sha256 = entry == nullptr ? nullptr : entry->Find("sha256");
  const Json* size = entry == nullptr ? nullptr : entry->Find("size");
  if (!sha256 || !size || !sha256->Is(Json::Kind::kString) ||
      !size->Integer(kFileMax, &card->bytes)) {
    return Wrong(path, Code::kCorrupt, std::string("it lists no ") + kTensors + kRestore);
  }
  if (!seed->Integer(UINT64_MAX, &card->seed)) {
    return Wrong(path, Code::kCorrupt, "its seed is no whole number from 0 to 2^64 - 1");
  }
  card->sha256 = sha256->text;
  return {};
}

bool Matches(const Tensor& tensor, const nn::Slot& slot) {
  constexpr std::string_view kDtypes[] = {"F32", "I32", "U8"};
  return tensor.dtype == kDtypes[static_cast<size_t>(slot.type)] &&
         tensor.sizes.size() == static_cast<size_t>(slot.rank) &&
         std::equal(tensor.sizes.begin(), tensor.sizes.end(), slot.sizes.begin());
}

}  // namespace

Failure PolicyFile::Open(const std::string& path) {
  std::string tensors = path;
  Card card;
  if (IsDirectory(path)) {
    tensors = path + "/" + kTensors;
    if (Failure failure = ReadCard(path + "/" + kCard, &card); !failure.ok()) return failure;
  }
  seed_ = card.seed;
  if (Failure failure = ReadTensors(tensors, card.sha256); !failure.ok()) return failure;
  if (Failure failure = ReadWords(tensors); !failure.ok()) return failure;
  if (Failure failure = FindTensors(tensors); !failure.ok()) return failure;
  return CheckPolicy(tensors);
}

// sha256: what the card says, empty without one.
Failure PolicyFile::ReadTensors(const std::string& path, const std::string& sha256) {
  std::span<const uint8_t> bytes;
  Status status = ReadFile(path, kFileMax, &memory_, &bytes);
  if (!status.ok()) return Wrong(path, status);
  if (!sha256.empty() && Sha256(bytes) != sha256) {
    return Wrong(path, Code::kCorrupt, std::string("damaged, its SHA-256 differs") + kRestore);
  }
  status = found_.Read(bytes);
  if (status.ok()) return {};
  return Wrong(path, status.code,
               std::string("no safetensors file: ") + status.where + ": " + status.what + kRestore);
}

Failure PolicyFile::ReadWords(const std::string& path) {
  const Tensor* words = found_.Find(kWords);
  if (words == nullptr || words->dtype != "I64" || words->sizes.size() != 1) {
    return Wrong(path, Code::kCorrupt,
                 "no compiled policy: it has no tensor 'program' of I64; compile and save one");
  }
  words_ = {static_cast<const int64_t*>(words->data), words->bytes / sizeof(int64_t)};
  int64_t instruction;
  const Status status = nn::ReadProgram(words_, &program_, &instruction);
  if (status.ok()) return {};
  const std::string where =
      instruction < 0 ? "program" : "program, instruction " + std::to_string(instruction);
  return Wrong(path, status.code, where + ": " + status.where + ": " + status.what);
}

Failure PolicyFile::FindTensors(const std::string& path) {
  for (const nn::Slot& slot : program_.tensors) {
    const Tensor* tensor = found_.Find(slot.name);
    if (tensor == nullptr || !Matches(*tensor, slot)) {
      return Wrong(
          path, Code::kCorrupt,
          "tensor '" + slot.name + "' is missing or not what the program wants" + kRestore);
    }
    tensors_.push_back(tensor->data);
  }
  return {};
}

// A program may have any inputs and outputs; what a caller is promised of them is checked here.
Failure PolicyFile::CheckPolicy(const std::string& path) {
  const auto wrong = [&](const std::string& what) {
    return Wrong(path, Code::kCorrupt, "program: " + what + ": compile the policy again");
  };
  const int64_t place = nn::FindOutput(program_, "action");
  if (place < 0) return wrong("it has no output 'action'");
  action_ = static_cast<size_t>(place);
  for (const nn::Place& output : program_.outputs) {
    if (!output.view.dense()) return wrong("output '" + output.name + "' has gaps");
  }
  const nn::View& action = program_.outputs[action_].view;
  if (action.type != nn::Type::kF32 || action.rank != 2 || batch() > kRowsMax ||
      columns() > kRowsMax) {
    return wrong("output 'action' is no table of float32");
  }
  for (const nn::Slot& input : program_.inputs) {
    if (input.rank == 0 || input.sizes[0] != batch()) {
      return wrong("input '" + input.name + "' has not one row per game");
    }
    const bool random = input.name == "uniform" || input.name == "normal";
    if (random && input.count() > kDrawsMax) {
      return wrong("input '" + input.name + "' is more random numbers than any policy draws");
    }
    const bool first = input.name == "is_first";
    if (first && (input.type != nn::Type::kU8 || input.count() != batch())) {
      return wrong("input 'is_first' is no truth value per game");
    }
  }
  return {};
}

}  // namespace metabonk::play
