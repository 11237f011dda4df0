// PluginStartup: what each plugin does when BepInEx loads it and takes it away again: its settings,
// the one claim on the game, the patches, the component through which Unity calls. What drives the
// game is the plugin's own.
//
// A part of the plugins and no class above them: BepInEx finds a plugin by what its class derives
// from, read from assemblies that are not loaded.
using System;
using System.IO;
using BepInEx;
using BepInEx.Logging;
using BepInEx.Unity.IL2CPP;
using Il2CppInterop.Runtime.Injection;
using Metabonk.Core;

namespace Metabonk.Game
{
    public sealed class PluginStartup
    {
        readonly BasePlugin plugin;
        readonly string id;
        DriverBehaviour behaviour;

        public PluginStartup(BasePlugin plugin, string id)
        {
            this.plugin = plugin;
            this.id = id;
        }

        /// <summary>Reads the settings from `file` in BepInEx's folder and, if they want it and no
        /// other plugin has the game, lets what `make` makes drive it. What cannot be used is
        /// logged, and the game goes on without.</summary>
        public void Load<T>(T options, string file, Func<T, FrameDriver> make) where T : Options
        {
            ManualLogSource log = plugin.Log;
            try
            {
                options.Load(Path.Combine(Paths.ConfigPath, file));
                foreach (string unknown in options.Unknown)
                    log.LogWarning("setting " + unknown + " is not known and does nothing");
                if (!options.Enabled) return;
                if (!Patches.Claim(id))
                {
                    log.LogError("another plugin, " + Patches.Owner
                        + ", drives the game: switch one of them off");
                    return;
                }
                MainThread.IsHere();
                Patches.Apply(line => log.LogInfo(line));
                ClassInjector.RegisterTypeInIl2Cpp<DriverBehaviour>();
                behaviour = plugin.AddComponent<DriverBehaviour>();
                behaviour.Begin(make(options));
            }
            catch (Exception error) when (error is OptionException || error is IOException
                || error is ArgumentException || error is MissingMethodException)
            {
                log.LogError(error.Message);
                Patches.Remove(id);
            }
        }

        public void Unload()
        {
            if (behaviour != null) behaviour.OnDestroy();
            Patches.Remove(id);
        }
    }
}
