// PlayerReader: the player and the run: health, experience, gold, place, loadout, clock. Reads
// MyPlayer and its inventory, a plain object that appears after the spawn.
using System;
using Assets.Scripts.Actors.Player;
using Assets.Scripts.Managers;
using Assets.Scripts.Utility;
using Metabonk.Core;
using UnityEngine;

namespace Metabonk.Game
{
    public sealed class PlayerReader
    {
        DeathCamera death;

        /// <summary>Fills the player's part; false before the spawn and after death.</summary>
        public bool Fill(GameState state)
        {
            state.Fields |= FieldGroup.Player;
            state.Paused = MyTime.paused;
            MyPlayer player = MyPlayer.Instance;
            if (player == null || player.inventory == null) return false;
            PlayerInventory inventory = player.inventory;
            FillBody(player, state);
            FillProgress(inventory, state);
            FillLoadout(inventory, state);
            FillRun(player, state);
            state.Playing = !Dead() && state.Health > 0;
            return state.Playing;
        }

        // Death shows as the death camera being on.
        bool Dead()
        {
            if (death == null) death = UnityEngine.Object.FindObjectOfType<DeathCamera>();
            return death != null && death.isActiveAndEnabled;
        }

        static void FillBody(MyPlayer player, GameState state)
        {
            Vector3 at = player.transform.position;
            state.Position = Space.Ours(at);
            PlayerMovement movement = player.playerMovement;
            if (movement != null)
            {
                state.Velocity = Space.Ours(movement.GetVelocity());
                state.Grounded = movement.IsTouchingGround();
            }
            Camera camera = Camera.main;
            if (camera != null) state.Yaw = Space.Yaw(camera.transform.eulerAngles.y);
            state.Fields |= FieldGroup.Yaw;
        }

        static void FillProgress(PlayerInventory inventory, GameState state)
        {
            var health = inventory.playerHealth;
            if (health != null)
            {
                state.Health = health.hp;
                state.MaxHealth = health.maxHp;
                state.Shield = health.shield;
            }
            if (inventory.playerXp != null)
            {
                state.Xp = inventory.playerXp.xp;
                state.XpNext = Members.Number(inventory.playerXp, "xpToNextLevel");
            }
            state.Gold = inventory.gold;
            state.Level = (ushort)Math.Max(0, Math.Min(ushort.MaxValue,
                inventory.GetCharacterLevel()));
            state.Kills = EnemyTracker.Kills;
            state.Score = EnemyTracker.Kills;  // what the leaderboards count
            state.Fields |= FieldGroup.Progress;
        }

        static void FillLoadout(PlayerInventory inventory, GameState state)
        {
            int slot = 0;
            if (inventory.weaponInventory != null)
            {
                // By keys: pairs of the game's own value types cannot be relied on.
                var weapons = inventory.weaponInventory.weapons;
                foreach (var kind in weapons.Keys)
                {
                    if (slot == GameState.Slots) break;
                    state.Weapons[slot++] = new Slot { Kind = Small((int)kind + 1),
                        Level = Small(weapons[kind].level) };
                }
            }
            slot = 0;
            if (inventory.tomeInventory != null)
            {
                var tomes = inventory.tomeInventory.tomeLevels;
                foreach (var kind in tomes.Keys)
                {
                    if (slot == GameState.Slots) break;
                    state.Tomes[slot++] = new Slot { Kind = Small((int)kind + 1),
                        Level = Small(tomes[kind]) };
                }
            }
            state.Fields |= FieldGroup.Loadout;
        }

        static void FillRun(MyPlayer player, GameState state)
        {
            GameManager manager = GameManager.Instance;
            if (manager != null) state.Time = manager.GetAliveTime();
            state.Character = Small((int)player.character + 1);
            if (MapController.runConfig != null)
                state.Tier = Small(Math.Min(3, MapController.runConfig.mapTierIndex + 1));
            state.RunSeed = (ulong)Members.Number(MapController.runConfig, "seed");
            state.Fields |= FieldGroup.Run;
        }

        static byte Small(int value) { return (byte)Math.Max(0, Math.Min(255, value)); }
    }

    /// <summary>Unity's frame and ours.</summary>
    public static class Space
    {
        public static Point3 Ours(Vector3 unity) { return new Point3(unity.x, unity.z, unity.y); }

        /// <summary>Degrees clockwise from north to radians counter-clockwise from east,
        /// -pi..pi.</summary>
        public static float Yaw(float degrees)
        {
            double yaw = Math.PI / 2 - degrees * Math.PI / 180;
            return (float)Math.IEEERemainder(yaw, 2 * Math.PI);
        }
    }
}
