// A game behind BonkLink as the loop sees it: states arrive in order and once, frames shrink to
// what is read, actions go back, runs begin when the game says so, and a game may come back. A JPEG
// is shown with its state once somebody has decoded it.
#include "play/link_game.h"

#include <atomic>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "check.h"
#include "ipc/ring_writer.h"
#include "link/server.h"
#include "link/states.h"
#include "play/artifacts.h"

namespace metabonk::play {

namespace {

// A game that sends a state every millisecond: health counts, every 40th state begins a run.
class Host {
 public:
  Host(const std::string& path, link::Protocol protocol) {
    link::ServerOptions options;
    options.endpoint.kind = link::Endpoint::Kind::kUnix;
    options.endpoint.path = path;
    options.protocol = protocol;
    const Status status = link::Server::Listen(options, &server_);
    if (!status.ok()) check::Fail(__FILE__, __LINE__, std::string(status.where) + status.what);
    thread_ = std::thread([this] { Serve(); });
  }
  ~Host() {
    stop_ = true;
    thread_.join();
  }
  std::atomic<int> actions{0};
  std::atomic<float> last_move{0.0f};

 private:
  void Serve() {
    auto state = std::make_unique<GameState>();
    std::vector<uint8_t> pixels(size_t{8} * 12 * 3, 77);
    for (uint64_t n = 0; !stop_; ++n) {
      bool fresh = false;
      CHECK(server_->Poll(kMillisecond, &fresh).ok());
      link::ActionArrival arrival;
      if (server_->TakeAction(&arrival)) {
        ++actions;
        last_move = arrival.action.move[0];
      }
      if (!server_->connected()) continue;
      state->fields = kHasEverything;
      state->playing = 1;
      state->max_health = 1e6f;
      state->health = static_cast<float>(++sent_);
      state->time = static_cast<double>(sent_ % 40) / 60.0;
      state->dt = 1.0f / 60.0f;
      link::StateTrailers trailers;
      trailers.extra = true;
      link::FrameView frame;
      frame.width = 12;
      frame.height = 8;
      frame.stride = 36;
      frame.pixels = pixels;
      uint64_t sequence;
      CHECK(server_->Send(*state, trailers, frame, MonotonicClock().Now(), &sequence).ok());
    }
  }

  std::unique_ptr<link::Server> server_;
  uint64_t sent_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

LinkSettings SettingsFor(const std::string& path, link::Protocol protocol) {
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

bool Await(Source& source, Moment* moment) {
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  while (!source.Newest(moment)) {
    if (MonotonicClock().Now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

void Play(link::Protocol protocol) {
  const TemporaryDirectory folder;
  const std::string path = folder / "game";
  auto host = std::make_unique<Host>(path, protocol);
  LinkGame game(MonotonicClock(), SettingsFor(path, protocol));
  game.Start();
  Moment moment;
  uint64_t sequence = 0;
  float health = 0.0f;
  int begun = 0, framed = 0;
  for (int taken = 0; taken < 150; ++taken) {
    CHECK(Await(game.source(), &moment));
    CHECK(moment.sequence > sequence);
    CHECK(moment.state->health > health);
    CHECK(moment.capture <= moment.ready);
    CHECK(moment.state->dt >= 0.0f && moment.state->dt < 10.0f);
    if (moment.frame.pixels != nullptr) {
      ++framed;
      CHECK_EQ(moment.frame.height, 4);
      CHECK_EQ(moment.frame.width, 6);
      CHECK_EQ(moment.frame.pixels[0], 77);
    }
    begun += moment.begins;
    sequence = moment.sequence;
    health = moment.state->health;
    Action action = {{0.5f, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};
    CHECK(game.sink().Act(action, sequence));
  }
  CHECK(begun >= 2);
  CHECK(framed > 100);
  CHECK(game.connected());
  CHECK(!game.failed());
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  while (host->actions == 0 && MonotonicClock().Now() < until) std::this_thread::yield();
  CHECK(host->actions > 0);
  CHECK_EQ(host->last_move.load(), 0.5f);
  // The game goes away and comes back.
  host.reset();
  host = std::make_unique<Host>(path, protocol);
  for (int taken = 0; taken < 20; ++taken) CHECK(Await(game.source(), &moment));
  CHECK(moment.sequence > sequence);
  CHECK(game.counters().connections.value() >= 2);
  game.Stop();
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
void Heard(const LinkGame& game, uint64_t n) {
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  while (game.counters().states.value() < n && MonotonicClock().Now() < until) {
    std::this_thread::yield();
  }
  CHECK_EQ(game.counters().states.value(), n);
}

// What the decoder says that the JPEG shows: one value all over.
void Decoded(LinkGame* game, uint8_t value) {
  const std::vector<uint8_t> pixels(size_t{8} * 12 * 3, value);
  const link::FrameView view{.width = 12, .height = 8, .stride = 36, .pixels = pixels};
  CHECK(game->AnswerJpeg(&view));
}

}  // namespace

TEST(link_game_shows_a_jpeg_with_its_state_once_it_is_decoded) {
  const TemporaryDirectory folder;
  Script host(folder / "game");
  LinkSettings settings = SettingsFor(folder / "game", link::Protocol::kV1);
  settings.decodes = true;
  LinkGame game(MonotonicClock(), settings);
  game.Start();
  Moment moment;
  host.SendJpeg(1);
  CHECK(game.AskJpeg(20 * kSecond) != nullptr);
  host.Send(2);  // without a frame
  Heard(game, 2);
  host.SendJpeg(3);  // while the first one is being decoded
  Heard(game, 3);
  host.Send(4);
  Heard(game, 4);
  CHECK(!game.source().Newest(&moment));  // none of them has its picture yet
  CHECK(!game.framed());
  Decoded(&game, 50);
  CHECK(Await(game.source(), &moment));
  CHECK(game.framed());
  // A later state is that of the JPEG under way, so that this is the first one's.
  CHECK_EQ(moment.state->health, 1.0f);
  CHECK_EQ(moment.frame.pixels[0], 50);
  CHECK_EQ(moment.frame.step, moment.sequence);
  CHECK(moment.ready >= moment.capture);
  const std::vector<uint8_t>* jpeg = game.AskJpeg(20 * kSecond);
  CHECK(jpeg != nullptr && *jpeg == link::JpegHead(12, 8));
  Decoded(&game, 60);
  CHECK(Await(game.source(), &moment));
  CHECK_EQ(moment.state->health, 4.0f);  // nothing newer is under way
  CHECK_EQ(moment.frame.pixels[0], 60);
  CHECK_EQ(moment.frame.step + 1, moment.sequence);
  host.Send(5);  // at once, with the picture that there is
  CHECK(Await(game.source(), &moment));
  CHECK_EQ(moment.state->health, 5.0f);
  CHECK_EQ(moment.frame.pixels[0], 60);
  CHECK_EQ(game.frames_decoded(), uint64_t{2});
  CHECK_EQ(game.frames_overtaken(), uint64_t{0});
  CHECK(!game.AnswerJpeg(nullptr));  // nobody asked
  game.Stop();
}

TEST(link_game_passes_over_what_cannot_be_decoded_and_what_is_overtaken) {
  const TemporaryDirectory folder;
  Script host(folder / "game");
  LinkSettings settings = SettingsFor(folder / "game", link::Protocol::kV1);
  settings.decodes = true;
  LinkGame game(MonotonicClock(), settings);
  game.Start();
  Moment moment;
  host.SendJpeg(1);
  CHECK(game.AskJpeg(20 * kSecond) != nullptr);
  CHECK(game.AnswerJpeg(nullptr));  // damaged
  host.SendJpeg(2);
  CHECK(game.AskJpeg(20 * kSecond) != nullptr);
  CHECK(!game.source().Newest(&moment));  // there is no picture to show a state with
  for (uint64_t n = 3; n <= 6; ++n) {
    host.SendJpeg(n);
    Heard(game, n);
  }
  Decoded(&game, 20);
  CHECK(Await(game.source(), &moment));
  CHECK_EQ(moment.state->health, 2.0f);
  CHECK(game.AskJpeg(20 * kSecond) != nullptr);
  Decoded(&game, 60);
  CHECK(Await(game.source(), &moment));
  CHECK_EQ(moment.state->health, 6.0f);  // the newest; three were never decoded
  CHECK_EQ(game.frames_refused(), uint64_t{1});
  CHECK_EQ(game.frames_decoded(), uint64_t{2});
  CHECK_EQ(game.frames_overtaken(), uint64_t{3});
  game.Stop();
}

TEST(link_game_without_a_decoder_refuses_jpegs) {
  const TemporaryDirectory folder;
  Script host(folder / "game");
  LinkGame game(MonotonicClock(), SettingsFor(folder / "game", link::Protocol::kV1));
  game.Start();
  host.SendJpeg(1);
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  while (game.frames_refused() == 0 && MonotonicClock().Now() < until) std::this_thread::yield();
  CHECK_EQ(game.frames_refused(), uint64_t{1});
  CHECK(!game.framed());
  game.Stop();
}

// What a game hears of the choice of its second offer, told with widgets' group or without.
static Action Chosen(bool extra, uint16_t* widgets, uint64_t* lost) {
  const TemporaryDirectory folder;
  LinkSettings settings = SettingsFor(folder / "game", link::Protocol::kV1);
  const OfferPlaces::Point places[] = {{0.5, 0.25}, {0.25, 0.75}};
  CHECK(OfferPlaces::Make(places, &settings.offers).ok());
  Script host(folder / "game", extra);
  const std::vector<uint8_t> pixels(size_t{8} * 12 * 3, 1);
  LinkGame game(MonotonicClock(), settings);
  game.Start();
  host.Send(1, {.width = 12, .height = 8, .stride = 36, .pixels = pixels}, {"Sword", "Bow", "Axe"});
  Moment moment;
  CHECK(Await(game.source(), &moment));
  *widgets = moment.state->widget_count;
  if (*widgets == 2) {
    const Widget& bow = moment.state->widgets[1];
    CHECK(link::ViewText(bow.text) == "Bow");
    CHECK(bow.offer == 2 && bow.enabled == 1);
    CHECK_NEAR(bow.x0 + bow.x1, 0.5f, 1e-6f);
    CHECK_NEAR(bow.y0 + bow.y1, 1.5f, 1e-6f);
  }
  CHECK(game.sink().Act({{0, 0}, {0, 0}, 0, 0, 0, 0, 0, 2, {-1, -1}}, moment.sequence));
  const Action heard = host.Heard();
  *lost = game.counters().inputs_lost.value();
  game.Stop();
  return heard;
}

TEST(link_game_clicks_the_offers_that_are_chosen_over_v1) {
  uint16_t widgets = 0;
  uint64_t lost = 0;
  const Action clicked = Chosen(false, &widgets, &lost);
  CHECK_EQ(widgets, 2);  // the third offer has no place
  CHECK_EQ(clicked.choice, 0.0f);
  CHECK_NEAR(clicked.click[0], 0.25f, 0.6f / 12);
  CHECK_NEAR(clicked.click[1], 0.75f, 0.6f / 8);
  CHECK_EQ(lost, uint64_t{0});
}

TEST(link_game_leaves_the_widgets_alone_of_a_game_that_tells_them) {
  uint16_t widgets = 9;
  uint64_t lost = 0;
  CHECK(Chosen(true, &widgets, &lost).click[0] < 0.0f);
  CHECK_EQ(widgets, 0);
  CHECK_EQ(lost, uint64_t{1});  // it has no second one
}

TEST(offer_places_refuse_what_is_not_on_the_screen) {
  OfferPlaces places;
  const OfferPlaces::Point beside[] = {{0.5, 1.01}},
                           nan[] = {{0.0, std::numeric_limits<double>::quiet_NaN()}};
  const std::vector<OfferPlaces::Point> many(kMaxOffers + 1, {0.5, 0.5});
  CHECK(OfferPlaces::Make(beside, &places).code == Code::kOutOfRange);
  CHECK(OfferPlaces::Make(nan, &places).code == Code::kOutOfRange);
  CHECK(OfferPlaces::Make(many, &places).code == Code::kOutOfRange);
  auto state = std::make_unique<GameState>();
  state->fields = kHasOffers;
  state->offer_count = kMaxOffers;
  CHECK(!places.Show(state.get()));  // none has a place
  CHECK(OfferPlaces::Make({many.data(), kMaxOffers}, &places).ok());
  CHECK(places.Show(state.get()));
  CHECK_EQ(state->widget_count, kMaxOffers);
  CHECK(!places.Show(state.get()));  // there are widgets now
  for (const float choice : {0.0f, 9.0f, -3.0f, std::numeric_limits<float>::quiet_NaN()}) {
    Action action = {{0, 0}, {0, 0}, 0, 0, 0, 0, 0, choice, {-1, -1}};
    places.Click(*state, &action);
    CHECK_EQ(action.click[0], -1.0f);  // no widget of ours
  }
}

// A game that offers frames through a ring, and sends them only to who takes none from there.
class Offering {
 public:
  // ring: where frames are written; null: named, and not to be seen from here.
  Offering(const std::string& path, const std::string& name, ipc::RingWriter* ring) : ring_(ring) {
    link::ServerOptions options;
    options.endpoint.kind = link::Endpoint::Kind::kUnix;
    options.endpoint.path = path;
    options.protocol = link::Protocol::kV2;
    options.capabilities |= link::kTakesRing;
    options.ring = name;
    CHECK(link::Server::Listen(options, &server_).ok());
  }
  // Says states until a frame of that value is shown; how many frames had to be sent.
  int Show(LinkGame* game, uint8_t value) {
    std::vector<uint8_t> pixels(size_t{8} * 12 * 3, value);
    Moment moment;
    int sent = 0;
    const int64_t until = MonotonicClock().Now() + 20 * kSecond;
    while (MonotonicClock().Now() < until) {
      bool fresh = false;
      CHECK(server_->Poll(kMillisecond, &fresh).ok());
      if (game->source().Newest(&moment) && moment.frame.pixels != nullptr &&
          moment.frame.pixels[0] == value) {
        return sent;
      }
      if (!server_->connected()) continue;
      link::FrameView frame;
      if (!server_->uses_ring()) {
        frame = {.width = 12, .height = 8, .stride = 36, .pixels = pixels};
        ++sent;
      } else if (ring_ != nullptr) {
        CHECK(ring_->Write({.width = 12, .height = 8}, pixels, ++step_, 0).ok());
      }
      state_->fields = kHasEverything;
      state_->time += 1.0 / 60.0;
      uint64_t sequence = 0;
      CHECK(server_->Send(*state_, {}, frame, MonotonicClock().Now(), &sequence).ok());
    }
    check::Fail(__FILE__, __LINE__, "no frame was shown");
    return sent;
  }

 private:
  ipc::RingWriter* ring_;
  std::unique_ptr<link::Server> server_;
  std::unique_ptr<GameState> state_ = std::make_unique<GameState>();
  uint64_t step_ = 0;
};

TEST(link_game_does_without_a_ring_that_cannot_be_seen_from_here) {
  const TemporaryDirectory folder;
  LinkSettings settings = SettingsFor(folder / "game", link::Protocol::kV2);
  settings.ring_folder = folder / "";
  LinkGame game(MonotonicClock(), settings);
  game.Start();
  for (uint64_t times = 1; times <= 2; ++times) {  // a game that comes back offers its ring again
    Offering host(folder / "game", "elsewhere", nullptr);
    CHECK(host.Show(&game, static_cast<uint8_t>(10 * times)) > 0);
    CHECK_EQ(game.rings_refused(), times);
    CHECK(host.Show(&game, static_cast<uint8_t>(10 * times + 1)) > 0);
    CHECK_EQ(game.rings_refused(), times);  // once for each time that it was offered
  }
  game.Stop();
}

TEST(link_game_takes_frames_from_the_ring_that_is_offered) {
  const TemporaryDirectory folder;
  ipc::RingOptions options;
  options.name = "here";
  options.folder = folder / "";
  options.frame_bytes = size_t{8} * 12 * 3;
  std::unique_ptr<ipc::RingWriter> ring;
  CHECK(ipc::RingWriter::Create(options, &ring).ok());
  LinkSettings settings = SettingsFor(folder / "game", link::Protocol::kV2);
  settings.ring_folder = folder / "";
  LinkGame game(MonotonicClock(), settings);
  game.Start();
  for (int times = 1; times <= 2; ++times) {
    Offering host(folder / "game", "here", ring.get());
    host.Show(&game, static_cast<uint8_t>(10 * times));  // the first may come over the socket
    CHECK_EQ(host.Show(&game, static_cast<uint8_t>(10 * times + 1)), 0);
  }
  CHECK_EQ(game.rings_refused(), uint64_t{0});
  game.Stop();
}

TEST(link_game_plays_over_bonklink_v1) { Play(link::Protocol::kV1); }
TEST(link_game_plays_over_bonklink_v2) { Play(link::Protocol::kV2); }

TEST(link_game_waits_for_a_game_that_is_not_there_yet) {
  const TemporaryDirectory folder;
  LinkGame game(MonotonicClock(), SettingsFor(folder / "none", link::Protocol::kV2));
  game.Start();
  Moment moment;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(!game.source().Newest(&moment));
  CHECK(!game.connected());
  CHECK(!game.failed());
  game.Stop();
}

}  // namespace metabonk::play
