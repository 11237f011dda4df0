// ResearchPlugin: the BepInEx plugin by which an agent steps Megabonk through shared memory, frame
// by frame. Makes the parts and joins them; what they do in each frame is Core's StepDriver.
using System;
using System.IO;
using BepInEx;
using BepInEx.Unity.IL2CPP;
using Il2CppInterop.Runtime.Attributes;
using Il2CppInterop.Runtime.Injection;
using Metabonk.Core;
using Metabonk.Game;
using UnityEngine;

namespace Metabonk.ResearchPlugin
{
    [BepInPlugin(Id, "ResearchPlugin", "2.0.0")]
    [BepInProcess("Megabonk.exe")]
    public sealed class Plugin : BasePlugin
    {
        public const string Id = "com.metabonk.research";

        StepBehaviour behaviour;

        public override void Load()
        {
            var options = new ResearchOptions();
            try
            {
                options.Load(Path.Combine(Paths.ConfigPath, ResearchOptions.FileName));
                foreach (string unknown in options.Unknown)
                    Log.LogWarning("setting " + unknown + " is not known and does nothing");
                if (!options.Enabled) return;
                if (!Patches.Claim(Id))
                {
                    Log.LogError("another plugin, " + Patches.Owner
                        + ", drives the game: switch one of them off");
                    return;
                }
                MainThread.IsHere();
                Patches.Apply(line => Log.LogInfo(line));
                ClassInjector.RegisterTypeInIl2Cpp<StepBehaviour>();
                behaviour = AddComponent<StepBehaviour>();
                behaviour.Begin(Make(options));
            }
            catch (Exception error) when (error is OptionException || error is IOException
                || error is ArgumentException || error is MissingMethodException)
            {
                Log.LogError(error.Message);
                Patches.Remove(Id);
            }
        }

        public override bool Unload()
        {
            if (behaviour != null) behaviour.OnDestroy();
            Patches.Remove(Id);
            return true;
        }

        StepDriver Make(ResearchOptions options)
        {
            string path = options.PathOf(Environment.GetEnvironmentVariable("MEGABONK_RESEARCH_SHM_DIR"));
            var memory = new ResearchMemory(path, options.Width, options.Height);
            Log.LogInfo("stepped by " + path);
            var game = new MegabonkGame(options.LookDegreesPerSecond, line => Log.LogInfo(line));
            var capture = new GpuCapture(options.Width, options.Height,
                "LevelupScreen,EncounterUi,ChestWindowUi,PauseUi");
            return new StepDriver(game, capture, new UnityTime(), memory, options,
                UploadGuard.Current, line => Log.LogWarning(line));
        }
    }

    /// <summary>Unity's calls into the driver.</summary>
    public sealed class StepBehaviour : MonoBehaviour
    {
        StepDriver driver;

        public StepBehaviour(IntPtr pointer) : base(pointer) { }

        [HideFromIl2Cpp]
        internal void Begin(StepDriver made) { driver = made; }

        public void LateUpdate()
        {
            if (driver != null) driver.FrameEnded();
        }

        public void OnDestroy()
        {
            if (driver != null) driver.Dispose();
            driver = null;
        }
    }
}
