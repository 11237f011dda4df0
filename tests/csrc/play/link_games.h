// Games at the other end of a link that tests of LinkGame turn by hand.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "check.h"
#include "link/server.h"
#include "link/states.h"
#include "play/artifacts.h"
#include "play/link_game.h"

namespace metabonk::play {

inline LinkSettings SettingsFor(const std::string& path, link::Protocol protocol) {
  LinkSettings settings;
  settings.client.endpoint.kind = link::Endpoint::Kind::kUnix;
  settings.client.endpoint.path = path;
  settings.client.protocol = protocol;
  settings.client.pause_first = 2 * kMillisecond;
  settings.client.pause_max = 5 * kMillisecond;
  settings.height = 4;
  settings.width = 6;
  return settings;
}

inline bool Await(Source& source, Moment* moment) {
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  while (!source.Newest(moment)) {
    if (MonotonicClock().Now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

// A game whose every state is sent when the test says so.
class Script {
 public:
  // extra: MBX2, which tells widgets, follows v1's states.
  explicit Script(const std::string& path, bool extra = true) {
    link::ServerOptions options;
    options.extra_in_v1 = extra;
    options.endpoint.kind = link::Endpoint::Kind::kUnix;
    options.endpoint.path = path;
    options.protocol = link::Protocol::kV1;
    CHECK(link::Server::Listen(options, &server_).ok());
  }
  // State n, with a frame or without. offers: their texts.
  void Send(uint64_t n, const link::FrameView& frame = {},
            std::initializer_list<std::string_view> offers = {}) {
    bool fresh = false;
    const int64_t until = MonotonicClock().Now() + 20 * kSecond;
    do {
      CHECK(server_->Poll(kMillisecond, &fresh).ok());
      CHECK(MonotonicClock().Now() < until);
    } while (!server_->connected());
    state_->fields = kHasEverything;
    state_->playing = 1;
    state_->health = static_cast<float>(n);
    state_->time = static_cast<double>(n) / 60.0;
    state_->offer_count = 0;
    for (const std::string_view text : offers) {
      link::CopyText(text, state_->offers[state_->offer_count++].text);
    }
    link::StateTrailers trailers;
    trailers.extra = true;
    uint64_t sequence = 0;
    CHECK(server_->Send(*state_, trailers, frame, 0, &sequence).ok());
    CHECK_EQ(sequence, n);
  }
  // Reads what has come.
  void Listen() {
    bool fresh = false;
    CHECK(server_->Poll(kMillisecond, &fresh).ok());
  }
  // The next action that comes.
  Action Heard() {
    bool fresh = false;
    link::ActionArrival arrival;
    const int64_t until = MonotonicClock().Now() + 20 * kSecond;
    while (!server_->TakeAction(&arrival) && MonotonicClock().Now() < until) {
      CHECK(server_->Poll(kMillisecond, &fresh).ok());
    }
    return arrival.action;
  }
  // A JPEG of 12 x 8, as far as anybody here looks into it.
  void SendJpeg(uint64_t n) {
    const link::Bytes jpeg = link::JpegHead(12, 8);
    Send(n, {.format = link::PixelFormat::kJpeg, .width = 12, .height = 8, .pixels = jpeg});
  }

 private:
  std::unique_ptr<link::Server> server_;
  std::unique_ptr<GameState> state_ = std::make_unique<GameState>();
};

// Waits until the game's n-th state has been read, so that none is overtaken unread.
inline void Heard(const LinkGame& game, uint64_t n) {
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  while (game.counters().states.value() < n && MonotonicClock().Now() < until) {
    std::this_thread::yield();
  }
  CHECK_EQ(game.counters().states.value(), n);
}

}  // namespace metabonk::play
