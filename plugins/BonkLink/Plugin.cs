// BonkLink: the BepInEx plugin that lets agents see and play Megabonk. Makes the parts and joins
// them; what they do in each frame is Core's LinkDriver, how a plugin comes and goes Game's
// PluginStartup.
using System;
using System.Collections.Generic;
using System.IO;
using BepInEx;
using BepInEx.Unity.IL2CPP;
using Metabonk.Core;
using Metabonk.Game;
using UnityEngine;

namespace Metabonk.BonkLink
{
    [BepInPlugin(Id, "BonkLink", "2.0.0")]
    [BepInProcess("Megabonk.exe")]
    public sealed class Plugin : BasePlugin
    {
        public const string Id = "com.metabonk.bonklink";

        PluginStartup startup;

        public override void Load()
        {
            startup = new PluginStartup(this, Id);
            startup.Load(new BonkLinkOptions(), BonkLinkOptions.FileName, Make);
        }

        public override bool Unload()
        {
            startup.Unload();
            return true;
        }

        // A launcher that starts several games gives each its port.
        static void TakeVariables(BonkLinkOptions options)
        {
            string port = Environment.GetEnvironmentVariable("METABONK_BONKLINK_PORT");
            if (!string.IsNullOrEmpty(port)) options.Parse("[Link]\nPort = " + port);
        }

        FrameDriver Make(BonkLinkOptions options)
        {
            TakeVariables(options);
            var made = new List<IDisposable>();
            try
            {
                return Join(options, made);
            }
            catch
            {
                // A plugin that cannot be leaves no ring that beats, no policy and no port.
                for (int i = made.Count - 1; i >= 0; --i) made[i].Dispose();
                throw;
            }
        }

        // made: what is to be given back, as far as it came.
        FrameDriver Join(BonkLinkOptions options, List<IDisposable> made)
        {
            ServerOptions server = options.Server(UploadGuard.Current);
            RingWriter ring = options.UseRing && options.FrameHz > 0 ? MakeRing(options) : null;
            if (ring != null)
            {
                made.Add(ring);
                server.Ring = ring.Name;
            }
            IPilot pilot = null;
            if (options.PolicyLibrary.Length > 0)
            {
                pilot = new PolicyPilot(options.PolicyLibrary, options.PolicyPath);
                made.Add(pilot);
            }
            var actions = new ActionMailbox(options.HoldMs * 1000000L);
            // The link's threads log through here, and BepInEx's log reaches into IL2CPP.
            var listening = new GameServer(server, actions, line =>
            {
                MainThread.Attach();
                Log.LogInfo(line);
            });
            made.Add(listening);
            Log.LogInfo(options.UsePipe ? "listening on pipe " + options.PipeName : "listening on "
                + options.Host + ":" + listening.Port);
            GpuCapture capture = options.FrameHz > 0 && SystemInfo.supportsAsyncGPUReadback
                ? new GpuCapture(options.Width, options.Height, options.AgentCanvases) : null;
            if (capture == null && options.FrameHz > 0)
                Log.LogWarning("this GPU gives no pictures back: states only");
            var game = new MegabonkGame(options.LookDegreesPerSecond, line => Log.LogInfo(line));
            var driver = new LinkDriver(game, capture, listening, ring, UploadGuard.Current, pilot,
                options, line => Log.LogWarning(line));
            return new FrameDriver(() => driver.Tick(Time.deltaTime, Clock.Now), driver);
        }

        RingWriter MakeRing(BonkLinkOptions options)
        {
            string name = options.RingName.Length > 0 ? options.RingName : "bonklink-"
                + options.Port;
            try
            {
                return new RingWriter(options.RingFolder.Length > 0 ? options.RingFolder : null,
                    name, options.Width * options.Height * 4);
            }
            catch (Exception error) when (error is IOException
                || error is UnauthorizedAccessException)
            {
                Log.LogWarning("no frame ring: " + error.Message + "; pictures go over the socket");
                return null;
            }
        }
    }
}
