// Offers of games that tell no widgets: what is chosen of them is clicked where they are shown.
#include "play/offer_places.h"

#include <limits>
#include <memory>
#include <vector>

#include "check.h"
#include "play/link_games.h"

namespace metabonk::play {

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

}  // namespace metabonk::play
