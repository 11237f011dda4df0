// EnemyTracker: the enemies that live, as the game makes and kills them. Patched into
// Enemy.InitEnemy and Enemy.Kill, because searching a scene of hundreds in every frame is slow. Ids
// are its own: the game uses its objects again.
using System.Collections.Generic;
using HarmonyLib;
using Metabonk.Core;
using UnityEngine;
using Body = Assets.Scripts.Actors.Enemies.Enemy;
using Enemy = Metabonk.Core.Enemy;

namespace Metabonk.Game
{
    [HarmonyPatch(typeof(Body))]
    public static class EnemyTracker
    {
        sealed class Tracked
        {
            public Body Of;
            public uint Id;
            public Vector3 Last;
            public double LastTime = -1;
            public Point3 Velocity;
            public byte Kind;
        }

        static readonly Dictionary<int, Tracked> living = new Dictionary<int, Tracked>();
        static readonly List<int> gone = new List<int>();
        static uint ids;

        public static uint Kills { get; private set; }
        public static int Count { get { return living.Count; } }

        [HarmonyPostfix]
        [HarmonyPatch(nameof(Body.InitEnemy))]
        public static void Appeared(Body __instance)
        {
            living[__instance.GetInstanceID()] = new Tracked { Of = __instance, Id = ++ids,
                Kind = KindOf(__instance) };
        }

        [HarmonyPostfix]
        [HarmonyPatch(nameof(Body.Kill))]
        public static void Killed(Body __instance)
        {
            if (living.Remove(__instance.GetInstanceID())) ++Kills;
        }

        static byte KindOf(Body body)
        {
            return body.enemyData == null ? (byte)0 : (byte)(int)body.enemyData.enemyName;
        }

        // The game's projectiles are none of its enemies, so no row of ours is one.
        static EnemyFlags FlagsOf(Body body)
        {
            return (body.IsBoss() ? EnemyFlags.Boss : EnemyFlags.None)
                | (body.IsElite() ? EnemyFlags.Elite : EnemyFlags.None);
        }

        /// <summary>A run ends or begins.</summary>
        public static void Clear()
        {
            living.Clear();
            Kills = 0;
        }

        /// <summary>Those that fit; the nearest to the player first if there are more.</summary>
        public static void Fill(GameState state)
        {
            gone.Clear();
            foreach (KeyValuePair<int, Tracked> pair in living)
            {
                Tracked tracked = pair.Value;
                // Despawned ones are switched off or destroyed without being killed.
                if (tracked.Of == null || !tracked.Of.gameObject.activeInHierarchy)
                {
                    gone.Add(pair.Key);
                    continue;
                }
                Enemy row = Row(tracked, state.Time);
                if (state.EnemyCount < GameState.MaxEnemies)
                    state.Enemies[state.EnemyCount++] = row;
                else Replace(state, row);
            }
            foreach (int key in gone) living.Remove(key);
            state.Fields |= FieldGroup.Enemies | FieldGroup.EnemyDetail;
        }

        static Enemy Row(Tracked tracked, double time)
        {
            Body body = tracked.Of;
            Vector3 at = body.transform.position;
            double passed = time - tracked.LastTime;
            if (tracked.LastTime >= 0 && passed > 1e-4)
            {
                Point3 now = Space.Ours(at), before = Space.Ours(tracked.Last);
                var by = (float)passed;
                tracked.Velocity = new Point3((now.X - before.X) / by, (now.Y - before.Y) / by,
                    (now.Z - before.Z) / by);
            }
            if (tracked.LastTime < 0 || passed > 1e-4)
            {
                tracked.Last = at;
                tracked.LastTime = time;
            }
            return new Enemy
            {
                Id = tracked.Id,
                Kind = tracked.Kind,
                Flags = FlagsOf(body),
                Position = Space.Ours(at),
                Velocity = tracked.Velocity,
                Health = body.hp,
                MaxHealth = body.maxHp,
            };
        }

        // The farthest goes where a nearer one has no room; bosses stay.
        static void Replace(GameState state, Enemy row)
        {
            int farthest = 0;
            float most = -1;
            for (int i = 0; i < state.EnemyCount; ++i)
            {
                float distance = Distance(state.Position, state.Enemies[i].Position);
                if (distance <= most || (state.Enemies[i].Flags & EnemyFlags.Boss) != 0) continue;
                most = distance;
                farthest = i;
            }
            bool boss = (row.Flags & EnemyFlags.Boss) != 0;
            if (boss || Distance(state.Position, row.Position) < most)
                state.Enemies[farthest] = row;
        }

        static float Distance(Point3 a, Point3 b)
        {
            float x = a.X - b.X, y = a.Y - b.Y, z = a.Z - b.Z;
            return x * x + y * y + z * z;
        }
    }
}
