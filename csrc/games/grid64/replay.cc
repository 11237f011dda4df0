#include "games/grid64/replay.h"

#include <cstring>

namespace metabonk::grid64 {
namespace {

constexpr size_t kActionBytes = 3;

// Plays encoded actions; false if the episode ends before the last of them. The hash is over the
// states after every action, so that ways which meet again still differ.
bool Play(Episode& episode, std::span<const uint8_t> actions, uint64_t* hash) {
  *hash = Hash(episode);
  for (size_t i = 0; i < actions.size(); i += kActionBytes) {
    if (episode.over) return false;
    Step(episode, {actions[i], actions[i + 1], actions[i + 2]});
    *hash = Mix64(*hash) ^ Hash(episode);
  }
  return true;
}

}  // namespace

Status WriteReplay(int game, Split split, uint64_t seed, std::span<const Action> actions,
                   std::vector<uint8_t>* out) {
  if (game < 0 || game >= kGames) return {Code::kOutOfRange, "game", "no game has this index"};
  if (actions.size() > kReplayActionsMax) {
    return {Code::kOutOfRange, "actions", "a replay holds at most 1,048,576 actions"};
  }
  ReplayHeader header{};
  std::memcpy(header.magic, kReplayMagic, sizeof(kReplayMagic));
  header.version = kReplayVersion;
  header.count = static_cast<uint32_t>(actions.size());
  std::strncpy(header.game, GameAt(game).name, sizeof(header.game) - 1);
  header.seed = seed;
  header.split = static_cast<uint64_t>(split);
  std::vector<uint8_t> encoded;
  encoded.reserve(actions.size() * kActionBytes);
  for (const Action& action : actions) {
    encoded.insert(encoded.end(), {action.id, action.x, action.y});
  }
  Episode episode;
  Start(episode, game, split, seed);
  if (!Play(episode, encoded, &header.hash)) {
    return {Code::kInvalidArgument, "actions",
            "the episode ends before the last of them; cut them"};
  }
  const auto* head = reinterpret_cast<const uint8_t*>(&header);
  out->insert(out->end(), head, head + sizeof(header));
  out->insert(out->end(), encoded.begin(), encoded.end());
  return Status::Ok();
}

Status ReadReplay(std::span<const uint8_t> bytes, ReplayHeader* header, int* game,
                  std::span<const uint8_t>* actions) {
  if (bytes.size() < sizeof(ReplayHeader)) {
    return {Code::kCorrupt, "replay", "shorter than its header; copy the file again"};
  }
  std::memcpy(header, bytes.data(), sizeof(ReplayHeader));
  if (std::memcmp(header->magic, kReplayMagic, sizeof(kReplayMagic)) != 0) {
    return {Code::kCorrupt, "replay.magic", "not a grid64 replay"};
  }
  if (header->version != kReplayVersion) {
    return {Code::kVersionMismatch, "replay.version", "play it with the version that wrote it"};
  }
  if (header->split > static_cast<uint64_t>(Split::kTest)) {
    return {Code::kCorrupt, "replay.split", "neither train nor test"};
  }
  header->game[sizeof(header->game) - 1] = '\0';
  *game = FindGame(header->game);
  if (*game < 0) return {Code::kCorrupt, "replay.game", "names no game of this version"};
  const std::span<const uint8_t> rest = bytes.subspan(sizeof(ReplayHeader));
  if (header->count > kReplayActionsMax || rest.size() != header->count * kActionBytes) {
    return {Code::kCorrupt, "replay.count", "does not match the file's size; copy the file again"};
  }
  *actions = rest;
  return Status::Ok();
}

Status VerifyReplay(std::span<const uint8_t> bytes, ReplayResult* result) {
  ReplayHeader header;
  int game = -1;
  std::span<const uint8_t> actions;
  const Status status = ReadReplay(bytes, &header, &game, &actions);
  if (!status.ok()) return status;
  Episode episode;
  Start(episode, game, static_cast<Split>(header.split), header.seed);
  uint64_t hash;
  if (!Play(episode, actions, &hash)) {
    return {Code::kCorrupt, "replay.actions", "go on after the end of the episode"};
  }
  *result = {hash, episode.length, episode.levels_completed, episode.status};
  if (result->hash != header.hash) {
    return {Code::kCorrupt, "replay.hash",
            "playing the actions gives another state; damaged, or written by other rules"};
  }
  return Status::Ok();
}

}  // namespace metabonk::grid64
