// ResearchPlugin: the BepInEx plugin by which an agent steps Megabonk through shared memory, frame
// by frame. Makes the parts and joins them; what they do in each frame is Core's StepDriver, how a
// plugin comes and goes Game's PluginStartup.
using System;
using BepInEx;
using BepInEx.Unity.IL2CPP;
using Metabonk.Core;
using Metabonk.Game;

namespace Metabonk.ResearchPlugin
{
    [BepInPlugin(Id, "ResearchPlugin", "2.0.0")]
    [BepInProcess("Megabonk.exe")]
    public sealed class Plugin : BasePlugin
    {
        public const string Id = "com.metabonk.research";

        PluginStartup startup;

        public override void Load()
        {
            startup = new PluginStartup(this, Id);
            startup.Load(new ResearchOptions(), ResearchOptions.FileName, Make);
        }

        public override bool Unload()
        {
            startup.Unload();
            return true;
        }

        FrameDriver Make(ResearchOptions options)
        {
            string path = options.PathOf(Environment.GetEnvironmentVariable("MEGABONK_RESEARCH_SHM_DIR"));
            var memory = new ResearchMemory(path, options.Width, options.Height);
            Log.LogInfo("stepped by " + path);
            var game = new MegabonkGame(options.LookDegreesPerSecond, line => Log.LogInfo(line));
            var capture = new GpuCapture(options.Width, options.Height,
                "LevelupScreen,EncounterUi,ChestWindowUi,PauseUi");
            var driver = new StepDriver(game, capture, new UnityTime(), memory, options,
                UploadGuard.Current, line => Log.LogWarning(line));
            return new FrameDriver(driver.FrameEnded, driver);
        }
    }
}
