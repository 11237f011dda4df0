// Pictures of a game behind BonkLink as the loop sees them: a JPEG is shown with its state once
// somebody has decoded it; frames come from a ring where it can be seen from here, else over the
// socket.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "ipc/ring_writer.h"
#include "play/link_games.h"

namespace metabonk::play {

namespace {

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
        behind_ = moment.sequence - moment.frame.step;
        return sent;
      }
      if (!server_->connected()) continue;
      link::FrameView frame;
      if (!server_->uses_ring()) {
        frame = {.width = 12, .height = 8, .stride = 36, .pixels = pixels};
        ++sent;
      } else if (ring_ != nullptr) {
        const auto captured = static_cast<uint64_t>(kRate * (said_ + 1 - late_));
        CHECK(ring_->Write({.width = 12, .height = 8}, pixels, ++step_, captured).ok());
      }
      state_->fields = kHasEverything;
      state_->time += 1.0 / 60.0;
      uint64_t sequence = 0;
      CHECK(server_->Send(*state_, {}, frame, kRate * ++said_, &sequence).ok());
    }
    check::Fail(__FILE__, __LINE__, "no frame was shown");
    return sent;
  }
  // From now on pictures in the ring were captured so many states ago.
  void Delay(int states) { late_ = states; }
  // How many captures the last picture that was found lay behind its state.
  uint64_t behind() const { return behind_; }

 private:
  ipc::RingWriter* ring_;
  std::unique_ptr<link::Server> server_;
  std::unique_ptr<GameState> state_ = std::make_unique<GameState>();
  static constexpr int64_t kRate = kSecond / 60;
  uint64_t step_ = 0, behind_ = 0;
  int64_t said_ = 100, late_ = 0;
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
    CHECK_EQ(host.behind(), uint64_t{0});
    host.Delay(3);
    CHECK_EQ(host.Show(&game, static_cast<uint8_t>(10 * times + 2)), 0);
    CHECK(host.behind() > 0);
  }
  CHECK_EQ(game.rings_refused(), uint64_t{0});
  game.Stop();
}

}  // namespace metabonk::play
