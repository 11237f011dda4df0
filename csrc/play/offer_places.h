// OfferPlaces: where offers are on the screen, for games that tell their texts and no widgets
// (BonkLink v1). A policy that chooses by widget can so play what is chosen by clicks alone. Knows
// states and actions; places are given. metabonk/games/offer_places.py is the same where policies
// learn; a test compares the two.
#pragma once

#include <array>
#include <span>

#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::play {

class OfferPlaces {
 public:
  using Point = std::array<double, 2>;  // x, y, 0..1 from the top left

  OfferPlaces() = default;  // no offer has a place
  // Offer i is at places[i], those beyond have none. Refuses more of them than a state has offers,
  // and what is not on the screen.
  static Status Make(std::span<const Point> places, OfferPlaces* out);

  // Gives a state that tells offers and no widgets a widget for each offer that has a place;
  // whether it did.
  bool Show(GameState* state) const;
  // In a state that Show changed, a choice of one of its widgets becomes a click in the middle.
  void Click(const GameState& shown, Action* action) const;

 private:
  std::array<Point, kMaxOffers> places_ = {};
  int count_ = 0;
};

}  // namespace metabonk::play
