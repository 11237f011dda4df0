// The plugins in a game of cardboard: our stand-ins of Unity and of the game's classes, a player
// who goes where the stick says, a few enemies. The plugins' own code runs as it is shipped.
// Commands come in as lines and are obeyed between two frames. Usage: Rehearsal
// bonklink|research|both CONFIG_FOLDER HZ [TYPE]...: types that this version of the game lacks
using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Reflection;
using System.Threading;
using Assets.Scripts.Actors.Enemies;
using Assets.Scripts.Actors.Player;
using Assets.Scripts.Inventory__Items__Pickups.Interactables;
using Assets.Scripts.Inventory__Items__Pickups.Pickups;
using Assets.Scripts.Inventory__Items__Pickups.Weapons;
using Assets.Scripts.Managers;
using Assets.Scripts.Steam;
using Assets.Scripts.Utility;
using BepInEx.Unity.IL2CPP;
using HarmonyLib;
using Inventory__Items__Pickups.Xp_and_Levels;
using Rewired;
using UnityEngine;
using UnityEngine.EventSystems;
using UnityEngine.Rendering;
using UnityEngine.SceneManagement;
using Button = UnityEngine.UI.Button;

static partial class Rehearsal
{
    const float OwnPhysics = 1 / 60f;  // seconds of a step of the game's physics

    static GameManager manager;
    static Camera view;
    static MyPlayer player;
    static readonly List<Enemy> enemies = new List<Enemy>();
    static DeathCamera death;
    static DetectInteractables interactables;
    static float turnX, turnY;  // of the person's hand, degrees a second
    static bool research;
    static BasePlugin plugin;
    static int said;  // lines of the plugin's log

    static int Main(string[] arguments)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        int hz = int.Parse(arguments[2]);
        BepInEx.Paths.ConfigPath = arguments[1];
        foreach (string type in arguments.Skip(3)) AccessTools.Absent.Add(type);
        BuildWorld();
        research = arguments[0] == "research";
        LoadPlugin();
        SayLog();
        if (arguments[0] == "both")
        {
            var second = new Metabonk.ResearchPlugin.Plugin();
            second.Load();
            foreach (string line in second.Log.Lines) Console.WriteLine("log " + line);
        }
        Console.WriteLine("ready");
        Console.Out.Flush();
        var commands = new List<string>();
        new Thread(delegate()
        {
            string line;
            while ((line = Console.In.ReadLine()) != null) lock (commands) commands.Add(line);
            lock (commands) commands.Add("stop");
        }) { IsBackground = true }.Start();
        while (true)
        {
            string command = null;
            lock (commands)
            {
                if (commands.Count > 0)
                {
                    command = commands[0];
                    commands.RemoveAt(0);
                }
            }
            if (command == "stop") break;
            if (command != null)
            {
                Obey(command);
                SayLog();
                Console.WriteLine("done " + command);
                Console.Out.Flush();
            }
            FrameOf(hz);
        }
        Call(plugin, "OnDestroy");
        Console.WriteLine("end");
        return 0;
    }

    static void LoadPlugin()
    {
        plugin = research ? (BasePlugin)new Metabonk.ResearchPlugin.Plugin()
            : new Metabonk.BonkLink.Plugin();
        said = 0;
        plugin.Load();
    }

    static void SayLog()
    {
        for (; said < plugin.Log.Lines.Count; ++said)
            Console.WriteLine("log " + plugin.Log.Lines[said]);
    }

    static void BuildWorld()
    {
        Screen.width = 1280;
        Screen.height = 720;
        Time.timeScale = 1;
        Time.fixedDeltaTime = OwnPhysics;
        manager = new GameObject("GameManager").AddComponent<GameManager>();
        Camera.main = view = new GameObject("Main Camera").AddComponent<Camera>();
        view.transform.eulerAngles = new Vector3(0, 90, 0);
        Camera.Draw = Draw;
        player = new GameObject("Player").AddComponent<MyPlayer>();
        player.playerInput = player.gameObject.AddComponent<PlayerInput>();
        player.playerMovement = player.gameObject.AddComponent<PlayerMovement>();
        player.character = ECharacter.Knight;
        player.inventory = new PlayerInventory
        {
            playerHealth = new PlayerHealth { hp = 80, maxHp = 100, shield = 5 },
            playerXp = new PlayerXp { xp = 12 },
            gold = 34.5f,
            Level = 4,
            weaponInventory = new WeaponInventory(),
            tomeInventory = new TomeInventory(),
        };
        player.inventory.weaponInventory.weapons[EWeapon.Bow] = new WeaponBase { level = 3 };
        player.inventory.tomeInventory.tomeLevels[ETome.Speed] = 2;
        EnterMap();
        MapController.runConfig = new Assets.Scripts.Game.Other.RunConfig { mapTierIndex = 1 };
        MapController.Restarted = Restarted;
        interactables = new GameObject("Detect").AddComponent<DetectInteractables>();
        BuildMenus();
        death = new GameObject("DeathCamera").AddComponent<DeathCamera>();
        death.enabled = false;
        EventSystem.current = new GameObject("EventSystem").AddComponent<EventSystem>();
    }

    static void EnterMap()
    {
        SceneManager.Active = new Scene { name = "GeneratedMap" };
        GameManager.Instance = manager;
        MyPlayer.Instance = manager.player = player;
    }

    static void Restarted()
    {
        player.inventory.playerHealth.hp = 100;
        player.transform.position = new Vector3(0, 0, 0);
        GameManager.Instance.AliveTime = 0;
        death.enabled = false;
    }

    // The lowest row says how far the player is, the others how many frames there were.
    static void Draw(Camera camera, RenderTexture to)
    {
        for (int i = 0; i < to.Drawn.Length; ++i)
            to.Drawn[i] = i % 4 == 3 ? (byte)255 : i < to.width * 4
                ? (byte)(int)(player.transform.position.x * 10) : (byte)Time.frameCount;
    }

    static void FrameOf(int hz)
    {
        ++Time.frameCount;
        float real = 1f / hz, passed = Time.captureDeltaTime > 0 ? Time.captureDeltaTime : real;
        Time.deltaTime = passed * Time.timeScale;
        bool running = MyPlayer.Instance != null && !MyTime.paused && !death.enabled;
        if (Time.timeScale > 0 && running)
        {
            GameManager.Instance.AliveTime += Time.deltaTime;
            player.playerInput.MovementInput();
            Vector3 wanted = player.playerInput.desiredCameraRotation;
            player.playerInput.desiredCameraRotation =
                new Vector3(wanted.x + turnY * Time.deltaTime, wanted.y + turnX * Time.deltaTime, 0);
            Vector3 at = player.transform.position;
            var velocity = new Vector3(player.playerInput.moveHorizontal * 6, 0,
                player.playerInput.moveVertical * 6);
            player.playerMovement.Velocity = velocity;
            player.transform.position = new Vector3(at.x + velocity.x * Time.deltaTime, at.y, at.z
                + velocity.z * Time.deltaTime);
        }
        Call(plugin, "LateUpdate");
        if (Time.captureDeltaTime == 0) Thread.Sleep(1000 / hz);
    }

    static void Call(BasePlugin plugin, string method)
    {
        foreach (Type type in Il2CppInterop.Runtime.Injection.ClassInjector.Registered)
        {
            object behaviour = typeof(GameObject).GetMethod("GetComponent").MakeGenericMethod(type).Invoke(plugin.Holder, null);
            MethodInfo called = type.GetMethod(method);
            if (behaviour != null && called != null) called.Invoke(behaviour, null);
        }
    }

    static void Obey(string command)
    {
        string[] words = command.Split(' ');
        switch (words[0])
        {
            case "stick":
                player.playerInput.StickX = float.Parse(words[1]);
                player.playerInput.StickY = float.Parse(words[2]);
                break;
            case "turn":
                turnX = float.Parse(words[1]);
                turnY = float.Parse(words[2]);
                break;
            case "select":
                EventSystem.current.currentSelectedGameObject = words[1] == "none" ? null
                    : offers[int.Parse(words[1])];
                break;
            case "submit":
                ReInput.players.GetPlayer(0).Held.Add("UISubmit");
                GameObject selected = EventSystem.current.currentSelectedGameObject;
                if (selected != null) selected.GetComponent<Button>().onClick.Invoke();
                break;
            case "release":
                ReInput.players.GetPlayer(0).Held.Clear();
                ReInput.controllers.Mouse.Down = false;
                break;
            case "mouse":
                ReInput.controllers.Mouse.screenPosition = new Vector2(float.Parse(words[1]),
                    float.Parse(words[2]));
                ReInput.controllers.Mouse.Down = true;
                break;
            case "unload":
                plugin.Unload();
                break;
            case "reload":
                plugin.Unload();
                LoadPlugin();
                break;
            case "gpu":
                AsyncGPUReadbackRequest.Delay = int.Parse(words[1]);
                AsyncGPUReadbackRequest.Lost = words[2] == "lost";
                break;
            case "hurt": player.inventory.playerHealth.hp -= int.Parse(words[1]); break;
            case "spawn": Spawn(int.Parse(words[1])); break;
            case "kill":
                enemies[0].Kill();
                enemies.RemoveAt(0);
                break;
            case "break": player.inventory.weaponInventory.weapons[EWeapon.Axe] = null; break;
            case "mend": player.inventory.weaponInventory.weapons.Remove(EWeapon.Axe); break;
            case "despawn":
                enemies[0].gameObject.SetActive(false);
                enemies.RemoveAt(0);
                break;
            case "drop": new GameObject("Pickups").AddComponent<PickupManager>().SpawnPickup(EPickup.Gold, new Vector3(1, 2, 3), 7, true); break;
            case "chest": new GameObject("Chest").AddComponent<InteractableChest>(); break;
            case "levelup": LevelUp(); break;
            case "encounter": Encounter(); break;
            case "crowd": Crowd(int.Parse(words[1])); break;
            case "open": ChestWindow(); break;
            case "pause": PauseMenu(); break;
            case "mainmenu": MainMenu(); break;
            case "camera": Camera.main = words[1] == "on" ? view : null; break;
            case "die":
                player.inventory.playerHealth.hp = 0;
                death.enabled = true;
                break;
            case "score":
                Leaderboards.UploadScore(100);
                Steamworks.SteamUserStats.StoreStats();
                Console.WriteLine("uploaded {0} stored {1}", Leaderboards.Uploaded,
                    Steamworks.SteamUserStats.Stored);
                break;
            case "show":
                Console.WriteLine("jumps {0} slides {1} sliding {2} tried {3} pressed {4} restarts {5} yaw {6:0.00} scale {7} seeded {8} physics {9:0.0000}", player.playerMovement.Jumps, player.playerMovement.Slides,
                    player.playerMovement.Sliding ? 1 : 0, interactables.Tried, pressed,
                        MapController.Restarts, player.playerInput.desiredCameraRotation.y,
                        Time.timeScale, UnityEngine.Random.Seeded, Time.fixedDeltaTime);
                break;
            case "canvases":
                foreach (Canvas canvas in Enumerable.Range(0,
                    UnityEngine.Object.FindObjectsOfType<Canvas>().Length).Select(i
                    => UnityEngine.Object.FindObjectsOfType<Canvas>()[i]))
                    Console.WriteLine("canvas {0} {1}", canvas.name, canvas.renderMode);
                break;
            case "canvas":
                new GameObject(words[1]).AddComponent<Canvas>();
                break;
        }
    }

    static void Spawn(int count)
    {
        for (int i = 0; i < count; ++i)
        {
            var enemy = new GameObject("Enemy").AddComponent<Enemy>();
            enemy.hp = enemy.maxHp = 10 + i;
            enemy.Boss = i == 1;
            enemy.Elite = i == 2;
            enemy.enemyData = new EnemyData { enemyName = (EEnemy)(i + 1) };
            enemy.transform.position = new Vector3(i + 1, 2, -3);
            enemy.InitEnemy();
            enemies.Add(enemy);
        }
    }
}
