// The settings of com.metabonk.research.cfg. Knows their names, defaults and meanings.
using System.IO;

namespace Metabonk.Core
{
    public sealed class ResearchOptions : Options
    {
        public const string FileName = "com.metabonk.research.cfg";

        public string Folder, Instance;
        public int Width, Height, FramesPerStep, HoldMs, Seed;
        public float Hz, LookDegreesPerSecond;
        public RewardWeights Weights;

        public ResearchOptions()
        {
            Flag("Memory", "Enabled", false,
                "Whether the game is stepped by an agent; it stands still while none is there.", v
                => Enabled = v);
            Text("Memory", "Folder", "",
                "Folder of the file; empty: what MEGABONK_RESEARCH_SHM_DIR says, else /dev/shm, under Wine Z:\\dev\\shm.", v => Folder = v);
            Text("Memory", "Instance", "0", "The file is megabonk_env_INSTANCE.", v
                => Instance = v);
            Whole("Memory", "Width", 84, 1, ResearchMemory.SideMax, "Width of the picture.", v
                => Width = v);
            Whole("Memory", "Height", 84, 1, ResearchMemory.SideMax, "Height of the picture.", v
                => Height = v);
            Number("Step", "Hz", 60, 1, 1000,
                "Frames per second of game time, however long they take.", v => Hz = v);
            Whole("Step", "FramesPerStep", 1, 1, 60, "Frames that one action lasts.", v
                => FramesPerStep = v);
            Whole("Step", "HoldMs", 50, 1, 1000,
                "How long a frame waits for an action before the window is drawn again, with the game's time standing still.", v => HoldMs = v);
            Whole("Step", "Seed", 0, 0, int.MaxValue,
                "Seed of Unity's random numbers at the start of each run; 0: the game's own.", v
                => Seed = v);
            Number("Step", "LookDegreesPerSecond", 180, 1, 2000, "Turning rate of look = 1.", v
                => LookDegreesPerSecond = v);
            Number("Reward", "Second", 0.01f, -1000, 1000, "Reward per second survived.", v
                => Weights.Second = v);
            Number("Reward", "Kill", 0.05f, -1000, 1000, "Reward per enemy killed.", v
                => Weights.Kill = v);
            Number("Reward", "Xp", 0.01f, -1000, 1000, "Reward per point of experience.", v
                => Weights.Xp = v);
            Number("Reward", "Gold", 0.001f, -1000, 1000, "Reward per gold found.", v
                => Weights.Gold = v);
            Number("Reward", "Level", 0.5f, -1000, 1000, "Reward per level.", v
                => Weights.Level = v);
            Number("Reward", "Hurt", -1, -1000, 1000, "Reward per whole health lost.", v
                => Weights.Hurt = v);
            Number("Reward", "Death", -1, -1000, 1000, "Reward of the run's end.", v
                => Weights.Death = v);
        }

        /// <summary>The file of this instance. environment: MEGABONK_RESEARCH_SHM_DIR, or
        /// null.</summary>
        public string PathOf(string environment)
        {
            string folder = Folder.Length > 0 ? Folder : !string.IsNullOrEmpty(environment)
                ? environment : SharedFile.DefaultFolder;
            return Path.Combine(folder, "megabonk_env_" + Instance);
        }
    }
}
