// Watch: the newest moment now and then, whole, without a wait or an allocation.
#include "play/watch.h"

#include <poll.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "check.h"

namespace metabonk::play {
namespace {

struct Scene {
  GameState state = {};
  std::vector<uint8_t> pixels = std::vector<uint8_t>(4 * 6 * 3);

  Moment At(uint64_t n, int64_t capture) {
    state.time = static_cast<double>(n);
    state.kills = static_cast<uint32_t>(n);
    std::memset(pixels.data(), static_cast<int>(n & 255), pixels.size());
    return {&state, {pixels.data(), 4, 6, 3, n}, n, capture, capture, false};
  }
};

}  // namespace

TEST(watch_shows_the_newest_moment_at_its_own_pace) {
  Scene scene;
  Watch watch(50, 4 * 6 * 3);
  CHECK(watch.Look() == nullptr);
  watch.Show(scene.At(1, 1000), true);
  watch.Show(scene.At(2, 1049), false);  // too soon after the first
  const Glimpse* glimpse = watch.Look();
  CHECK(glimpse != nullptr);
  CHECK_EQ(glimpse->sequence, uint64_t{1});
  CHECK_EQ(glimpse->run, uint64_t{1});
  CHECK_EQ(glimpse->capture, int64_t{1000});
  CHECK_EQ(glimpse->height * 100 + glimpse->width * 10 + glimpse->channels, 463);
  CHECK_EQ(glimpse->pixels[0], uint8_t{1});
  CHECK(watch.Look() == nullptr);  // seen before
  watch.Show(scene.At(3, 1050), false);
  watch.Show(scene.At(4, 1100), true);  // replaces what nobody looked at
  glimpse = watch.Look();
  CHECK_EQ(glimpse->sequence, uint64_t{4});
  CHECK_EQ(glimpse->run, uint64_t{2});
  CHECK_EQ(watch.shown(), uint64_t{3});
}

TEST(watch_shows_a_wanted_moment_once_whatever_its_pace) {
  Scene scene;
  Watch watch(1000, 0);
  std::vector<uint64_t> seen;
  const auto woken = [&watch] {
    pollfd one{watch.fd(), POLLIN, 0};
    return poll(&one, 1, 0) == 1;
  };
  for (uint64_t n = 1; n <= 9; ++n) {
    if (n == 3) watch.Want(145);  // between the fourth and the fifth
    CHECK_EQ(woken(), n == 6);
    CHECK_EQ(watch.Wanted(), n == 3 || n == 4 || n == 5);
    CHECK(!woken());
    watch.Show(scene.At(n, 100 + 10 * static_cast<int64_t>(n)), n == 1);
    if (const Glimpse* glimpse = watch.Look()) seen.push_back(glimpse->sequence);
  }
  CHECK(seen == std::vector<uint64_t>({1, 5}));
}

TEST(watch_grants_the_last_wish_while_it_shows) {
  Watch watch(int64_t{1} << 60, 0);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> shown{0};
  std::thread shows([&] {
    Scene scene;
    for (int64_t n = 1; !stop.load(); ++n) {
      watch.Show(scene.At(static_cast<uint64_t>(n), n), n == 1);
      shown.store(n);
    }
  });
  for (int wishes = 0; wishes < 2000; ++wishes) {
    watch.Want(0);  // granted at once, it may be while the next one is made
    const int64_t since = shown.load() + 3;
    watch.Want(since);
    int64_t newest = 0;
    for (bool wanted = true; wanted; std::this_thread::yield()) {
      wanted = watch.Wanted();
      if (const Glimpse* glimpse = watch.Look()) newest = glimpse->capture;
    }
    CHECK(newest >= since);
  }
  stop = true;
  shows.join();
}

TEST(watch_counts_runs_that_begin_between_its_looks) {
  Scene scene;
  Watch watch(50, 0);
  watch.Show(scene.At(1, 1000), true);
  watch.Show(scene.At(2, 1010), true);
  watch.Show(scene.At(3, 1060), false);
  CHECK_EQ(watch.Look()->run, uint64_t{2});
}

TEST(watch_keeps_how_a_run_ended_that_began_anew_between_its_looks) {
  Scene scene;
  Watch watch(50, 0);
  watch.Show(scene.At(1, 1000), true);
  CHECK_EQ(watch.Look()->ended_at, int64_t{0});  // nothing was before it
  watch.Show(scene.At(2, 1010), false);
  watch.Show(scene.At(3, 1020), false);  // the end, shown once and too soon
  watch.Show(scene.At(4, 1030), true);
  for (uint64_t n = 5; n < 12; ++n) {  // in every copy of the mailbox
    watch.Show(scene.At(n, static_cast<int64_t>(1000 + 60 * n)), false);
    const Glimpse* glimpse = watch.Look();
    CHECK_EQ(glimpse->run, uint64_t{2});
    CHECK_EQ(glimpse->began, int64_t{1030});
    CHECK_EQ(glimpse->ended_at, int64_t{1020});
    CHECK_EQ(glimpse->ended.kills, 3u);
    CHECK_EQ(glimpse->state.kills, static_cast<uint32_t>(n));
  }
}

TEST(watch_leaves_out_frames_that_are_too_large) {
  Scene scene;
  Watch watch(0, 4 * 6 * 3 - 1);
  watch.Show(scene.At(1, 1000), false);
  const Glimpse* glimpse = watch.Look();
  CHECK_EQ(glimpse->height, 0);
  CHECK_EQ(glimpse->sequence, uint64_t{1});
  CHECK_EQ(watch.too_large(), uint64_t{1});
}

TEST(watch_allocates_nothing_while_it_shows) {
  Scene scene;
  Watch watch(0, 4 * 6 * 3);
  const size_t before = check::Allocations();
  for (uint64_t n = 1; n < 100; ++n) {
    watch.Show(scene.At(n, static_cast<int64_t>(n)), n % 5 == 0);
    if (n % 3 == 0) watch.Look();
  }
  CHECK_EQ(check::Allocations(), before);
}

TEST(watch_never_shows_half_a_moment) {
  Watch watch(0, 4 * 6 * 3);
  std::atomic<bool> stop{false};
  std::thread shows([&] {
    Scene scene;
    for (uint64_t n = 1; !stop.load(); ++n) watch.Show(scene.At(n, static_cast<int64_t>(n)), false);
  });
  uint64_t last = 0;
  for (int looks = 0; looks < 2000;) {
    const Glimpse* glimpse = watch.Look();
    if (glimpse == nullptr) {
      std::this_thread::yield();
      continue;
    }
    ++looks;
    CHECK(glimpse->sequence > last);
    last = glimpse->sequence;
    CHECK_EQ(glimpse->state.kills, static_cast<uint32_t>(last));
    for (const uint8_t pixel : glimpse->pixels) CHECK_EQ(pixel, static_cast<uint8_t>(last & 255));
  }
  stop.store(true);
  shows.join();
}

}  // namespace metabonk::play
