// Uploads: every way by which a score or statistics leave the game asks UploadGuard first. Scores
// go through Leaderboards.UploadScore; behind that the Steam wrapper's own calls are watched too,
// by name, as far as this version of the game has them.
using System;
using System.Reflection;
using Assets.Scripts.Steam;
using HarmonyLib;
using Metabonk.Core;

namespace Metabonk.Game
{
    public static class Uploads
    {
        static readonly string[] steamTypes = { "Steamworks.SteamUserStats",
            "Il2CppSteamworks.SteamUserStats" };
        static readonly string[] steamMethods =
        {
            "StoreStats", "SetStat", "SetAchievement", "UploadLeaderboardScore", "AddStat",
                "ResetAllStats",
        };

        /// <summary>Patches what is there and tells the guard. Throws if the way of scores is
        /// not.</summary>
        public static void Watch(Harmony harmony, UploadGuard guard)
        {
            MethodInfo scores = AccessTools.Method(typeof(Leaderboards),
                nameof(Leaderboards.UploadScore));
            if (scores == null) throw new MissingMethodException("Leaderboards", "UploadScore");
            harmony.Patch(scores, new HarmonyMethod(typeof(Uploads), nameof(MayUploadScore)));
            guard.Guards(UploadGuard.Scores);
            foreach (string name in steamTypes)
            {
                Type type = AccessTools.TypeByName(name);
                if (type == null) continue;
                foreach (MethodInfo method in AccessTools.GetDeclaredMethods(type))
                {
                    if (Array.IndexOf(steamMethods, method.Name) < 0
                        || method.ContainsGenericParameters)
                        continue;
                    harmony.Patch(method, new HarmonyMethod(typeof(Uploads),
                        nameof(MayStoreStats)));
                    guard.Guards(type.Name + "." + method.Name);
                }
            }
        }

        public static bool MayUploadScore() { return UploadGuard.Current.MayUpload(UploadGuard.Scores); }

        public static bool MayStoreStats(MethodBase __originalMethod)
        {
            return UploadGuard.Current.MayUpload("Steam " + __originalMethod.Name);
        }
    }
}
