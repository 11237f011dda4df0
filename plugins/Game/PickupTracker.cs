// PickupTracker: what lies about: experience, gold, food and magnets as the game spawns them
// (patched into PickupManager.SpawnPickup), chests, shrines and portals by a look at the scene now
// and then.
using System;
using System.Collections.Generic;
using Assets.Scripts.Inventory__Items__Pickups.Interactables;
using Assets.Scripts.Inventory__Items__Pickups.Pickups;
using HarmonyLib;
using Metabonk.Core;
using Lying = Pickup;
using Row = Metabonk.Core.Pickup;

namespace Metabonk.Game
{
    [HarmonyPatch(typeof(PickupManager))]
    public sealed class PickupTracker
    {
        const double LookSeconds = 1;

        struct Tracked
        {
            public Lying Body;
            public uint Id;
            public PickupKind Kind;
            public float Value;
        }

        static readonly Dictionary<int, Tracked> lying = new Dictionary<int, Tracked>();
        static uint ids;
        readonly List<int> gone = new List<int>();
        readonly List<Row> fixedOnes = new List<Row>();
        readonly Dictionary<int, uint> fixedIds = new Dictionary<int, uint>();
        double looked = double.NegativeInfinity;

        [HarmonyPostfix]
        [HarmonyPatch(nameof(PickupManager.SpawnPickup))]
        public static void Spawned(Lying __result, EPickup ePickup, int value)
        {
            if (__result == null) return;
            lying[__result.GetInstanceID()] = new Tracked { Body = __result, Id = ++ids,
                Kind = KindOf(ePickup.ToString()), Value = value };
        }

        /// <summary>By what the game calls it; what is none of ours counts as experience's
        /// neighbour, a heal.</summary>
        public static PickupKind KindOf(string name)
        {
            if (Contains(name, "portal")) return PickupKind.Portal;
            if (Contains(name, "shrine") || Contains(name, "statue") || Contains(name, "altar"))
                return PickupKind.Shrine;
            if (Contains(name, "chest") || Contains(name, "coffin") || Contains(name, "pot"))
                return PickupKind.Chest;
            if (Contains(name, "magnet")) return PickupKind.Magnet;
            if (Contains(name, "gold") || Contains(name, "coin") || Contains(name, "silver"))
                return PickupKind.Gold;
            return Contains(name, "xp") ? PickupKind.Xp : PickupKind.Heal;
        }

        static bool Contains(string name, string part) { return name.IndexOf(part,
            StringComparison.OrdinalIgnoreCase) >= 0; }

        public void Clear()
        {
            lying.Clear();
            fixedOnes.Clear();
            fixedIds.Clear();
            looked = double.NegativeInfinity;
        }

        public void Fill(GameState state)
        {
            if (state.Time >= looked + LookSeconds || state.Time < looked) Look(state.Time);
            foreach (Row one in fixedOnes)
                if (state.PickupCount < GameState.MaxPickups)
                    state.Pickups[state.PickupCount++] = one;
            gone.Clear();
            foreach (KeyValuePair<int, Tracked> pair in lying)
            {
                Tracked tracked = pair.Value;
                if (tracked.Body == null || !tracked.Body.gameObject.activeInHierarchy)
                {
                    gone.Add(pair.Key);  // taken
                    continue;
                }
                if (state.PickupCount == GameState.MaxPickups) continue;
                state.Pickups[state.PickupCount++] = new Row
                {
                    Id = tracked.Id,
                    Kind = tracked.Kind,
                    Position = Space.Ours(tracked.Body.transform.position),
                    Value = tracked.Value,
                };
            }
            foreach (int key in gone) lying.Remove(key);
            state.Fields |= FieldGroup.Pickups;
        }

        void Look(double time)
        {
            looked = time;
            fixedOnes.Clear();
            var found = UnityEngine.Object.FindObjectsOfType<BaseInteractable>();
            for (int i = 0; i < found.Length; ++i)
            {
                BaseInteractable one = found[i];
                uint id;
                if (!fixedIds.TryGetValue(one.GetInstanceID(), out id))
                    fixedIds[one.GetInstanceID()] = id = ++ids;
                fixedOnes.Add(new Row { Id = id, Kind = KindOf(one.GetIl2CppType().Name),
                    Position = Space.Ours(one.transform.position) });
            }
        }
    }
}
