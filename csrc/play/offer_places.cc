#include "play/offer_places.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace metabonk::play {

namespace {

constexpr double kHalf = 0.02;  // of the side of a place, of the screen

}  // namespace

Status OfferPlaces::Make(std::span<const Point> places, OfferPlaces* out) {
  if (places.size() > kMaxOffers) {
    return {Code::kOutOfRange, "offer_places", "a state has 8 offers: give at most so many places"};
  }
  for (const auto& [x, y] : places) {
    if (!(x >= 0.0 && x <= 1.0 && y >= 0.0 && y <= 1.0)) {
      return {Code::kOutOfRange, "offer_places", "must be 0..1 of the screen, from the top left"};
    }
  }
  out->count_ = static_cast<int>(places.size());
  std::copy(places.begin(), places.end(), out->places_.begin());
  return Status::Ok();
}

bool OfferPlaces::Show(GameState* state) const {
  const bool told = (state->fields & kHasOffers) && !(state->fields & kHasWidgets);
  const int count = std::min({count_, static_cast<int>(state->offer_count), kMaxOffers});
  if (!told || count == 0) return false;
  for (int i = 0; i < count; ++i) {
    const auto [x, y] = places_[static_cast<size_t>(i)];
    Widget& widget = state->widgets[i];
    widget.x0 = static_cast<float>(x - kHalf);
    widget.y0 = static_cast<float>(y - kHalf);
    widget.x1 = static_cast<float>(x + kHalf);
    widget.y1 = static_cast<float>(y + kHalf);
    widget.enabled = 1;
    widget.offer = static_cast<uint8_t>(i + 1);
    std::memcpy(widget.text, state->offers[i].text, sizeof widget.text);
  }
  state->widget_count = static_cast<uint16_t>(count);
  state->fields |= kHasWidgets;
  return true;
}

void OfferPlaces::Click(const GameState& shown, Action* action) const {
  const int most = std::min(count_, static_cast<int>(shown.widget_count));
  if (!(action->choice >= 0.5f && action->choice < static_cast<float>(most) + 0.5f)) return;
  const auto index = static_cast<size_t>(std::lround(action->choice) - 1);
  action->choice = 0.0f;
  for (const size_t axis : {0u, 1u}) action->click[axis] = static_cast<float>(places_[index][axis]);
}

}  // namespace metabonk::play
