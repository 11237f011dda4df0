// Patches: everything that is patched into the game to see and to play it, once per process,
// whichever plugin comes first; taken out again with it. What keeps uploads back is not among them
// (Uploads): that stays.
using System;
using HarmonyLib;
using Metabonk.Core;

namespace Metabonk.Game
{
    public static class Patches
    {
        static Harmony harmony;
        static string owner;

        /// <summary>Puts the patches in. Uploads first: without that nothing may be
        /// injected.</summary>
        public static void Apply(Action<string> log)
        {
            if (harmony != null) return;
            Members.Log = log;
            Uploads.Watch(UploadGuard.Current, log);
            harmony = new Harmony("com.metabonk");
            harmony.PatchAll(typeof(EnemyTracker));
            harmony.PatchAll(typeof(PickupTracker));
            harmony.PatchAll(typeof(Controls));
        }

        /// <summary>Whether this plugin may drive the game: one at a time.</summary>
        public static bool Claim(string plugin)
        {
            if (owner != null && owner != plugin) return false;
            owner = plugin;
            return true;
        }

        public static string Owner { get { return owner; } }

        public static void Remove(string plugin)
        {
            if (owner != plugin) return;
            owner = null;
            if (harmony != null) harmony.UnpatchSelf();
            harmony = null;
        }
    }
}
