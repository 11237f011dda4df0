// Our own stand-in for the game's classes: the names that public mods use and the plugins need,
// with just enough behaviour to rehearse them. Nothing here is the game's code.
using System;
using System.Reflection;
using HarmonyLib;
using Il2CppInterop.Runtime.InteropTypes.Arrays;
using Il2CppSystem.Collections.Generic;
using UnityEngine;
using Assets.Scripts.Actors.Player;
using Assets.Scripts.Inventory__Items__Pickups;
using Assets.Scripts.Inventory__Items__Pickups.Items;
using Assets.Scripts.Inventory__Items__Pickups.Stats;
using Assets.Scripts.Inventory__Items__Pickups.Weapons;
using Assets.Scripts.Menu.Shop;
using Inventory__Items__Pickups.Xp_and_Levels;

public enum EWeapon { Sword, Bow, Axe }
public enum ETome { Damage, Speed }
public enum ECharacter { Fox, Knight }

/// <summary>Runs a method of the stand-in with its patches around it.</summary>
public static class Patched
{
    public static object Run(object instance, Type type, string method, object[] arguments,
        Func<object> body)
    {
        return Harmony.Call(instance, AccessTools.Method(type, method), arguments, body);
    }
}

public class GameManager : MonoBehaviour
{
    public static GameManager Instance { get; set; }
    public MyPlayer player { get; set; }
    public float AliveTime;
    public float GetAliveTime() { return AliveTime; }
}

public class PlayerInventory
{
    public PlayerHealth playerHealth { get; set; }
    public PlayerXp playerXp { get; set; }
    public float gold { get; set; }
    public int Level;
    public WeaponInventory weaponInventory { get; set; }
    public TomeInventory tomeInventory { get; set; }
    public int GetCharacterLevel() { return Level; }
}

public class PlayerHealth
{
    public int hp { get; set; }
    public int maxHp { get; set; }
    public float shield { get; set; }
}

public class WeaponInventory
{
    readonly Dictionary<EWeapon, WeaponBase> held = new Dictionary<EWeapon, WeaponBase>();
    public Dictionary<EWeapon, WeaponBase> weapons { get { return held; } }
}

public class TomeInventory
{
    readonly Dictionary<ETome, int> held = new Dictionary<ETome, int>();
    public Dictionary<ETome, int> tomeLevels { get { return held; } }
}

public class PlayerInput : MonoBehaviour
{
    public float moveHorizontal { get; set; }
    public float moveVertical { get; set; }
    public bool jumping { get; set; }
    public bool holdingJump { get; set; }
    public Vector3 desiredCameraRotation { get; set; }

    /// <summary>What the person's stick says in a rehearsal.</summary>
    public float StickX, StickY;
    public bool CanInput() { return true; }

    public void MovementInput()
    {
        Patched.Run(this, typeof(PlayerInput), "MovementInput", new object[0], delegate
        {
            moveHorizontal = StickX;
            moveVertical = StickY;
            return null;
        });
    }
}

public class PlayerMovement : MonoBehaviour
{
    public int Jumps, Slides;
    public Vector3 Velocity;
    public bool Grounded = true, Sliding;
    public void Jump() { ++Jumps; }
    public void StartSlide() { if (!Sliding) ++Slides; Sliding = true; }
    public void StopSlide() { Sliding = false; }
    public bool IsTouchingGround() { return Grounded; }
    public Vector3 GetVelocity() { return Velocity; }
}

public class LevelupScreen : MonoBehaviour
{
    public GameObject window { get; set; }
}

public class UpgradeButton : MonoBehaviour
{
    public UnityEngine.UI.Button button { get; set; }
    public IUpgradable upgradable { get; set; }
    public List<StatModifier> upgradeOffer { get; set; }
    public ERarity rarity { get; set; }
    public bool isItem { get; set; }
    public ItemData itemData { get; set; }
}

/// <summary>An interface of the game's, which the IL2CPP side sees as a class to cast
/// from.</summary>
public class IUpgradable : Il2CppSystem.Object
{
    public string Name;
    public int Level;
    public string GetName() { return Name; }
    public int GetLevel() { return Level; }
}

public class WeaponData : IUpgradable
{
    public EWeapon eWeapon { get; set; }
}

public class TomeData : IUpgradable
{
    public ETome eTome { get; set; }
}

public class ItemData : Il2CppSystem.Object
{
    public string Name;
    public EItem eItem { get; set; }
    public EItemRarity rarity { get; set; }
    public string GetName() { return Name; }
}

public enum EEnemy { Goblin, Skeleton, Ghost, Golem }

public class EnemyData
{
    public EEnemy enemyName { get; set; }
}

public class EncounterButton : MonoBehaviour
{
    public UnityEngine.UI.Button button { get; set; }
    public bool canAccept { get; set; }
    public int index { get; set; }
}

public class EncounterUi : MonoBehaviour
{
    readonly List<EncounterButton> rare = new List<EncounterButton>(), plain =
        new List<EncounterButton>();
    public List<EncounterButton> rarityButtons { get { return rare; } }
    public List<EncounterButton> genericButtons { get { return plain; } }
}

public class MyButton : MonoBehaviour
{
    public UnityEngine.UI.Button button { get; set; }
}

public class ChestWindowUi : MonoBehaviour
{
    public MyButton b_open { get; set; }
    public MyButton b_take { get; set; }
}

public class PauseUi : MonoBehaviour
{
}

public class DeathCamera : MonoBehaviour
{
}

public class Pickup : MonoBehaviour
{
}

public enum EPickup { Xp, Gold, Health, Magnet, Time }

namespace Assets.Scripts.Actors.Player
{
    public class MyPlayer : MonoBehaviour
    {
        public static MyPlayer Instance { get; set; }
        public PlayerInventory inventory { get; set; }
        public PlayerInput playerInput { get; set; }
        public PlayerMovement playerMovement { get; set; }
        public ECharacter character { get; set; }
    }
}

namespace Assets.Scripts.Actors.Enemies
{
    public class Enemy : MonoBehaviour
    {
        public float hp { get; set; }
        public float maxHp { get; set; }
        public EnemyData enemyData { get; set; }
        public bool Boss, Elite;
        public bool IsBoss() { return Boss; }
        public bool IsElite() { return Elite; }
        public void InitEnemy() { Patched.Run(this, typeof(Enemy), "InitEnemy", new object[0],
            delegate { return null; }); }
        public void Kill() { Patched.Run(this, typeof(Enemy), "Kill", new object[0],
            delegate { hp = 0; return null; }); }
    }
}

namespace Assets.Scripts.Inventory__Items__Pickups.Weapons
{
    public class WeaponBase
    {
        public int level { get; set; }
    }
}

namespace Assets.Scripts.Inventory__Items__Pickups
{
    public enum ERarity { New, Common, Uncommon, Rare, Epic, Legendary }
}

namespace Assets.Scripts.Inventory__Items__Pickups.Items
{
    public enum EItem { Key, Clover, Beer, Wrench }

    public enum EItemRarity { Common, Rare, Epic, Legendary, Corrupted, Quest }
}

namespace Assets.Scripts.Inventory__Items__Pickups.Stats
{
    public class StatModifier
    {
        public EStat stat { get; set; }
        public EStatModifyType modifyType { get; set; }
        public float modification { get; set; }
    }

    public enum EStatModifyType { Flat, Addition, Multiplication }
}

namespace Assets.Scripts.Inventory__Items__Pickups.Interactables
{
    public class BaseInteractable : MonoBehaviour
    {
    }

    public class InteractableChest : BaseInteractable
    {
    }

    public class InteractableShrineMagnet : BaseInteractable
    {
    }

    public class DetectInteractables : MonoBehaviour
    {
        public int Tried;
        public bool TryInteract()
        {
            ++Tried;
            return true;
        }
    }
}

namespace Assets.Scripts.Inventory__Items__Pickups.Pickups
{
    public class PickupManager : MonoBehaviour
    {
        public Pickup SpawnPickup(EPickup ePickup, Vector3 pos, int value,
            bool useRandomOffsetPosition)
        {
            return (Pickup)Patched.Run(this, typeof(PickupManager), "SpawnPickup",
                new object[] { ePickup, pos, value, useRandomOffsetPosition }, delegate
            {
                var made = new GameObject("Pickup").AddComponent<Pickup>();
                made.transform.position = pos;
                return made;
            });
        }
    }
}

namespace Assets.Scripts.Menu.Shop
{
    public enum EStat { MaxHealth, Damage, Speed }
}

namespace Assets.Scripts.Managers
{
    public static class MapController
    {
        public static int Restarts;
        public static Action Restarted;
        public static Assets.Scripts.Game.Other.RunConfig runConfig { get; set; }

        public static void RestartRun()
        {
            ++Restarts;
            if (Restarted != null) Restarted();
        }
    }
}

namespace Assets.Scripts.Game.Other
{
    public class RunConfig
    {
        public int mapTierIndex { get; set; }
    }
}

namespace Assets.Scripts.Utility
{
    public static class MyTime
    {
        public static bool paused { get; set; }
    }
}

namespace Inventory__Items__Pickups.Xp_and_Levels
{
    public class PlayerXp
    {
        public int xp { get; set; }
    }
}

namespace Assets.Scripts.Steam
{
    public static class Leaderboards
    {
        public static int Uploaded;
        public static void UploadScore(int score)
        {
            Patched.Run(null, typeof(Leaderboards), "UploadScore", new object[] { score },
                delegate { ++Uploaded; return null; });
        }
    }
}

namespace Steamworks
{
    public static class SteamUserStats
    {
        public static int Stored;
        public static bool StoreStats()
        {
            return (Patched.Run(null, typeof(SteamUserStats), "StoreStats", new object[0],
                delegate { ++Stored; return true; }) as bool?) ?? false;
        }
    }
}
