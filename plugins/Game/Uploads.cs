// Uploads: every way by which a score or statistics leave the game asks UploadGuard first. Scores
// go through Leaderboards.UploadScore; Steam's own calls behind it and those of statistics are
// watched too, by name, as far as this version of the game has them.
//
// Watched once per process by patches of their own, which nobody takes out again: a score must not
// leave because the plugin that let an agent play was unloaded, and without an agent's play they
// change nothing.
using System;
using System.Reflection;
using Assets.Scripts.Steam;
using HarmonyLib;
using Metabonk.Core;

namespace Metabonk.Game
{
    public static class Uploads
    {
        // By its assembly first: one that nothing has used yet is not loaded, and then has no types.
        static readonly string[] steamTypes =
        {
            "Steamworks.SteamUserStats, com.rlabrecque.steamworks.net",
            "Steamworks.SteamUserStats", "Il2CppSteamworks.SteamUserStats",
        };
        static readonly string[] steamMethods =
        {
            Stored, "SetStat", "SetAchievement", "UploadLeaderboardScore", "AddStat",
            "ResetAllStats",
        };
        // Nothing that was set reaches Steam without it.
        const string Stored = "StoreStats";

        static Harmony harmony;

        /// <summary>Patches what is there, the first time, and tells the guard; says what is
        /// not.</summary>
        public static void Watch(UploadGuard guard, Action<string> log)
        {
            guard.Log = log;
            if (harmony == null)
            {
                harmony = new Harmony("com.metabonk.uploads");
                WatchScores(guard);
                WatchStatistics(guard);
            }
            if (guard.Refusal.Length > 0) log("agents only watch here: " + guard.Refusal);
        }

        static void WatchScores(UploadGuard guard)
        {
            MethodInfo scores = AccessTools.Method(typeof(Leaderboards),
                nameof(Leaderboards.UploadScore));
            if (scores == null) return;
            harmony.Patch(scores, new HarmonyMethod(typeof(Uploads), nameof(MayUploadScore)));
            guard.Guards(UploadKind.Scores);
        }

        static void WatchStatistics(UploadGuard guard)
        {
            Type type = SteamType();
            if (type == null) return;
            foreach (MethodInfo method in AccessTools.GetDeclaredMethods(type))
            {
                if (Array.IndexOf(steamMethods, method.Name) < 0
                    || method.ContainsGenericParameters)
                    continue;
                harmony.Patch(method, new HarmonyMethod(typeof(Uploads), nameof(MayStoreStats)));
                if (method.Name == Stored) guard.Guards(UploadKind.Statistics);
            }
        }

        static Type SteamType()
        {
            foreach (string name in steamTypes)
            {
                Type type = name.IndexOf(',') < 0 ? AccessTools.TypeByName(name)
                    : Type.GetType(name, false);
                if (type != null) return type;
            }
            return null;
        }

        public static bool MayUploadScore()
        {
            return UploadGuard.Current.MayUpload("Leaderboards.UploadScore");
        }

        public static bool MayStoreStats(MethodBase __originalMethod)
        {
            return UploadGuard.Current.MayUpload("Steam " + __originalMethod.Name);
        }
    }
}
