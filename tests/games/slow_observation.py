"""Observations written slowly, from what their documentation says, and records to try them on.

Float32, one operation at a time: whoever does the same must agree bit for bit.
"""

from __future__ import annotations

import numpy as np

from metabonk.observations import OBSERVATION_FEATURES
from metabonk.records import GAME_STATE, FieldGroup, PickupKind

F = np.float32
HUGE = F(1e9)


def clean(x):
    x = F(x)
    return F(0) if np.isnan(x) else np.clip(x, -HUGE, HUGE)


def squash(x, scale):
    return clean(x) / (abs(clean(x)) + F(scale))


def linear(x, scale):
    return np.clip(clean(x) / F(scale), F(-4), F(4))


def fraction(part, whole):
    return np.clip(clean(part) / clean(whole), F(0), F(1)) if clean(whole) > 0 else F(0)


def sincos(angle):
    """The core's polynomials, in the same order of operations."""
    turns = float(F(angle)) * 0.63661977236758134308
    quarter = int(turns + (-0.5 if turns < 0 else 0.5))
    r = F(float(F(angle)) - quarter * 1.57079632679489661923)
    z = r * r
    s = r + r * z * (F(-0.166666546) + z * (F(0.00833216076) + z * F(-0.000195152832)))
    c = (
        F(1)
        - F(0.5) * z
        + z * z * (F(0.0416666456) + z * (F(-0.00138873163) + z * F(0.0000244331571)))
    )
    s, c = (c, s) if quarter & 1 else (s, c)
    return (-s if quarter & 2 else s), (-c if (quarter + 1) & 2 else c)


class Reference:
    """Fills dicts of {feature name: value}, so that a wrong column shows."""

    def __init__(self, record):
        self.r = record
        self.has = FieldGroup(int(record["fields"]))
        placed = FieldGroup.PLAYER in self.has
        self.at = [clean(v) if placed else F(0) for v in record["position"]]
        yaw = record["yaw"] if FieldGroup.YAW in self.has and abs(record["yaw"]) <= 1e4 else F(0)
        self.sin, self.cos = sincos(yaw)
        menu = bytes(record["menu"]).rstrip(b"\0")
        self.in_menu = (
            not record["playing"]
            or bool(record["paused"])
            or menu not in (b"", b"None", b"Gameplay")
        )

    def right(self, dx, dy):
        return dx * self.sin - dy * self.cos

    def forward(self, dx, dy):
        return dx * self.cos + dy * self.sin

    def nearest(self, things, count):
        """Rows of things within reach, by squared distance, id, index."""
        keyed = []
        for i, thing in enumerate(things[:count]):
            d = [v - a for v, a in zip(thing["position"], self.at, strict=True)]
            squared = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
            if squared <= F(1e18):
                keyed.append((squared, thing["id"], i))
        return [things[i] for *_, i in sorted(keyed)]

    def place(self, thing):
        dx, dy, dz = (v - a for v, a in zip(thing["position"], self.at, strict=True))
        return {
            "right": linear(self.right(dx, dy), 16),
            "forward": linear(self.forward(dx, dy), 16),
            "up": linear(dz, 8),
            "closeness": F(4) / (F(4) + np.sqrt(dx * dx + dy * dy + dz * dz)),
        }

    def health(self, e):
        if clean(e["max_health"]) > 0:
            return fraction(e["health"], e["max_health"])
        return squash(max(clean(e["health"]), F(0)), 100)

    def entity(self, e):
        row = {**self.place(e), "health": self.health(e)}
        if FieldGroup.ENTITY_DETAIL in self.has:
            vx, vy = clean(e["velocity"][0]), clean(e["velocity"][1])
            flags = int(e["flags"])
            rank = -1 if flags & 4 else 1 if flags & 1 else 0.5 if flags & 2 else 0
            row |= {
                "velocity_right": linear(self.right(vx, vy), 8),
                "velocity_forward": linear(self.forward(vx, vy), 8),
                "rank": rank,
                **{f"kind_bit_{b}": int(e["kind"]) >> b & 1 for b in range(4)},
            }
        return row

    def pickup(self, p):
        kinds = [k.name.lower() for k in PickupKind]
        one_hot = {f"is_{name}": int(p["kind"] == i) for i, name in enumerate(kinds)}
        return {**self.place(p), "value": squash(p["value"], 10), **one_hot}

    def widgets(self):
        if FieldGroup.WIDGETS not in self.has:
            return []
        return list(self.r["widgets"][: self.r["widget_count"]])

    def offer(self, index):
        o = self.r["offers"][index]
        choices = [
            i + 1 for i, w in enumerate(self.widgets()) if w["enabled"] and w["offer"] == index + 1
        ]
        choice = choices[0] if choices else 0
        row = {"selectable": int(choice > 0), "choice": choice / 32}
        if FieldGroup.OFFER_DETAIL not in self.has:
            return row
        kinds = ("weapon", "tome", "item", "reward")
        rarities = ("common", "uncommon", "rare", "epic", "legendary")
        row |= {f"is_{k}": int(o["kind"] == i) for i, k in enumerate(kinds)}
        row |= {f"is_{k}": int(o["rarity"] == i) for i, k in enumerate(rarities)}
        row |= {f"item_bit_{b}": int(o["item"]) >> b & 1 for b in range(6)}
        row["level"] = squash(o["level"], 4)
        row["is_new"] = int(o["level"] == 1)
        changes = o["changes"][: o["change_count"]]
        row["change_count"] = len(changes) / 4
        for change in changes:
            name = f"stat_{change['stat']}"
            if change["stat"] < 28:
                row[name] = row.get(name, F(0)) + squash(change["amount"], 1)
        return row

    def boss(self):
        def distance(e):
            dx, dy = e["position"][0] - self.at[0], e["position"][1] - self.at[1]
            return dx * dx + dy * dy

        bosses = [
            e
            for e in self.r["entities"][: self.r["entity_count"]]
            if e["flags"] & 1 and not e["flags"] & 4 and distance(e) <= F(1e18)
        ]
        if not bosses:
            return {}
        e = min(bosses, key=lambda e: (distance(e), e["id"]))
        dx, dy = e["position"][0] - self.at[0], e["position"][1] - self.at[1]
        return {
            "boss": 1,
            "boss_right": squash(self.right(dx, dy), 16),
            "boss_forward": squash(self.forward(dx, dy), 16),
            "boss_health": self.health(e),
        }

    def state(self):
        r, has = self.r, self.has
        row = {
            "playing": int(bool(r["playing"])),
            "paused": int(bool(r["paused"])),
            "in_menu": int(self.in_menu),
        }
        row |= {
            f"carries_{g.name.lower()}": int(g in has) for g in FieldGroup if g.name != "EVERYTHING"
        }
        if FieldGroup.PLAYER in has:
            vx, vy = clean(r["velocity"][0]), clean(r["velocity"][1])
            time = F(r["time"]) if abs(r["time"]) <= 1e9 else F(0)
            row |= {
                "health_fraction": fraction(r["health"], r["max_health"]),
                "health": squash(r["health"], 100),
                "max_health": squash(r["max_health"], 100),
                "time": squash(time, 300),
                "velocity_right": linear(self.right(vx, vy), 8),
                "velocity_forward": linear(self.forward(vx, vy), 8),
                "velocity_up": linear(r["velocity"][2], 8),
                **{k: linear(v, 64) for k, v in zip("xyz", self.at, strict=True)},
            }
        if FieldGroup.PROGRESS in has:
            row |= {
                "shield": squash(r["shield"], 50),
                "xp_fraction": fraction(r["xp"], r["xp_next"]),
                "level": squash(r["level"], 20),
                "gold": squash(r["gold"], 100),
                "kills": squash(r["kills"], 200),
                "score": squash(r["score"], 1000),
            }
        if FieldGroup.YAW in has:
            row |= {
                "grounded": int(bool(r["grounded"])),
                "heading_sin": self.sin,
                "heading_cos": self.cos,
            }
        if FieldGroup.RUN in has:
            row["tier"] = linear(r["tier"], 3)
            row |= {f"character_{i}": int(r["character"] == i + 1) for i in range(6)}
        if FieldGroup.ENTITIES in has:
            row["entity_count"] = min(int(r["entity_count"]), 256) / 256
            if FieldGroup.ENTITY_DETAIL in has:
                row |= self.boss()
        if FieldGroup.PICKUPS in has:
            row["pickup_count"] = min(int(r["pickup_count"]), 128) / 128
        if FieldGroup.LOADOUT in has:
            row["tome_levels"] = squash(sum(int(t["level"]) for t in r["tomes"] if t["kind"]), 8)
            for slot in r["weapons"]:
                if 1 <= slot["kind"] <= 16:
                    row[f"weapon_{slot['kind'] - 1}"] = squash(slot["level"], 4)
            for slot in r["tomes"]:
                if 1 <= slot["kind"] <= 32:
                    row[f"tome_{slot['kind'] - 1}"] = squash(slot["level"], 4)
        return row

    def observe(self):
        has, r = self.has, self.r
        entities = (
            self.nearest(r["entities"], r["entity_count"]) if FieldGroup.ENTITIES in has else []
        )
        pickups = self.nearest(r["pickups"], r["pickup_count"]) if FieldGroup.PICKUPS in has else []
        offers = min(int(r["offer_count"]), 4) if FieldGroup.OFFERS in has else 0
        out = {
            "state": self.table("state", [self.state()])[0],
            "entities": self.table("entities", [self.entity(e) for e in entities[:32]], 32),
            "pickups": self.table("pickups", [self.pickup(p) for p in pickups[:16]], 16),
            "offers": self.table("offers", [self.offer(i) for i in range(offers)], 4),
            "dt": np.array([np.clip(clean(r["dt"]), F(0), F(10))], F),
        }
        for key, count in (
            ("entities", len(entities)),
            ("pickups", len(pickups)),
            ("offers", offers),
        ):
            rows = len(out[key])
            out[f"{key}_mask"] = (np.arange(rows) < count).astype(np.uint8)
        enabled = [int(bool(w["enabled"])) for w in self.widgets()]
        choices = [1, *enabled, *[0] * (32 - len(enabled))]
        out["action_mask"] = np.array([1, int(not self.in_menu)] * 5 + choices, np.uint8)
        return out

    def table(self, key, rows, height=1):
        names = OBSERVATION_FEATURES[key]
        table = np.zeros((height, len(names)), F)
        for i, row in enumerate(rows):
            for name, value in row.items():
                table[i, names.index(name)] = value
        return table


def random_record(rng, hostile=False):
    """A GAME_STATE full of plausible values; hostile: also NaN, infinities and huge numbers."""
    record = np.zeros((), GAME_STATE)

    def real(shape=(), scale=20.0):
        values = rng.normal(0, scale, shape).astype(F)
        if hostile:
            odd = rng.choice(np.array([np.nan, np.inf, -np.inf, 3e38, -1e12, 0], F), shape)
            values = np.where(rng.random(shape) < 0.15, odd, values)
        return values

    for name in ("yaw", "health", "max_health", "shield", "xp", "xp_next", "gold", "score"):
        record[name] = real(scale=80.0)
    record["dt"], record["time"] = abs(real(scale=0.1)), real(scale=300.0)
    record["position"], record["velocity"] = real(3), real(3)
    record["fields"] = FieldGroup.EVERYTHING if rng.random() < 0.5 else rng.integers(0, 1 << 12)
    for name in ("kills", "level", "run_seed"):
        record[name] = rng.integers(0, 500)
    for name in ("grounded", "playing", "paused"):
        record[name] = rng.random() < 0.6
    record["tier"], record["character"] = rng.integers(0, 4), rng.integers(0, 9)
    record["menu"] = rng.choice([b"None", b"Gameplay", b"", b"Level up", b"x" * 47])
    for name in ("weapons", "tomes"):
        record[name]["kind"] = rng.permutation(20)[:8]
        record[name]["level"] = rng.integers(0, 12, 8)
    for name, things in (("entity", "entities"), ("pickup", "pickups")):
        rows = record[things]
        record[f"{name}_count"] = rng.choice([0, 3, len(rows) // 8, len(rows)])
        rows["id"] = rng.permutation(len(rows)) + 1
        rows["position"] = real((len(rows), 3))
        if rng.random() < 0.5:  # whole metres: many equal distances, so ids decide
            rows["position"] = np.round(rows["position"])
            record["position"] = np.round(record["position"])
    e = record["entities"]
    e["kind"], e["flags"] = rng.integers(0, 256, 256), rng.choice([0, 0, 0, 1, 2, 4, 5], 256)
    e["velocity"], e["health"] = real((256, 3), 5.0), real(256, 50.0)
    e["max_health"] = real(256, 50.0)
    record["pickups"]["kind"], record["pickups"]["value"] = rng.integers(0, 9, 128), real(128)
    record["widget_count"] = rng.integers(0, 33)
    record["widgets"]["enabled"] = rng.random(32) < 0.7
    record["widgets"]["offer"] = rng.integers(0, 6, 32)
    record["offer_count"] = rng.integers(0, 9)
    o = record["offers"]
    o["kind"], o["rarity"] = rng.integers(0, 6, 8), rng.integers(0, 7, 8)
    o["item"], o["level"] = rng.integers(0, 64, 8), rng.integers(0, 6, 8)
    o["change_count"] = rng.integers(0, 5, 8)
    o["changes"]["stat"], o["changes"]["amount"] = rng.integers(0, 32, (8, 4)), real((8, 4), 1.0)
    return record
