// The settings of com.metabonk.bonklink.cfg. Knows their names, defaults and meanings.
namespace Metabonk.Core
{
    public sealed class BonkLinkOptions : Options
    {
        public const string FileName = "com.metabonk.bonklink.cfg";

        public bool UsePipe, UnityAxes, EnableInputSnapshot, UseRing, InjectActions,
            BlockUploads;
        public string Host, PipeName, Token, RingName, RingFolder, PolicyLibrary, PolicyPath,
            AgentCanvases;
        public int Port, Width, Height, JpegQuality, MaxFrameBytes, HoldMs;
        public float FrameHz, LookDegreesPerSecond;
        public Protocol Protocol;
        public PixelFormat Format;

        public BonkLinkOptions()
        {
            Flag("Link", "Enabled", true, "Whether agents may connect at all.", v => Enabled = v);
            Text("Link", "Host", "127.0.0.1",
                "Address to listen on; one beyond this machine needs a Token.", v => Host = v);
            Whole("Link", "Port", 5555, 0, 65535,
                "Port to listen on; launchers use 5560 + instance. The variable METABONK_BONKLINK_PORT goes before it.", v => Port = v);
            Flag("Link", "UsePipe", false, "Listen on a named pipe instead of TCP.", v
                => UsePipe = v);
            Text("Link", "PipeName", "BonkLink", "Name of the pipe.", v => PipeName = v);
            Choice("Link", "Protocol", "auto", new[] { "auto", "v1", "v2" },
                "What is spoken; auto begins with v1 and follows an agent that knows v2.",
                v => Protocol = v == "v1" ? Protocol.V1 : v == "v2" ? Protocol.V2 : Protocol.Auto);
            Text("Link", "Token", "",
                "A secret that agents must say; needs an agent that speaks v2.", v => Token = v);
            Flag("Link", "UnityAxes", false,
                "Positions in Unity's axes and no MBX2 in v1 states, as plugins before v2 sent them.", v => UnityAxes = v);
            Number("Link", "HoldSeconds", 0.25f, 0, 10,
                "How long the last move goes on when the agent is late; then nothing is pressed.",
                v => HoldMs = (int)(v * 1000));
            Whole("Capture", "Width", 640, 16, 7680, "Width of the captured picture.", v
                => Width = v);
            Whole("Capture", "Height", 360, 16, 4320, "Height of the captured picture.", v
                => Height = v);
            Number("Capture", "FrameHz", 60, 0, 240, "Pictures per second; 0 captures none.", v
                => FrameHz = v);
            Choice("Capture", "FrameFormat", "jpeg", new[] { "jpeg", "raw_rgb" },
                "How pictures travel over the socket.",
                v => Format = v == "jpeg" ? PixelFormat.Jpeg : PixelFormat.Rgb);
            Whole("Capture", "JpegQuality", 85, 1, 100, "Quality of JPEGs.", v => JpegQuality = v);
            Whole("Capture", "MaxFrameBytes", 8388608, 65536, 268435456,
                "The largest picture that is sent; 1080p raw needs 6,220,816.", v
                => MaxFrameBytes = v);
            Flag("Capture", "EnableInputSnapshot", false,
                "Send what the person at the game does, to record demonstrations.", v
                => EnableInputSnapshot = v);
            Text("Capture", "AgentCanvases", "LevelupScreen,EncounterUi,ChestWindowUi,PauseUi",
                "Names of the canvases that the agent sees beside the world; everything else of the screen's overlay stays out of the picture.", v => AgentCanvases = v);
            Flag("Ring", "Enabled", true,
                "Also put pictures into shared memory, for agents on this machine.", v => UseRing =
                v);
            Text("Ring", "Name", "", "Name of the ring; empty: bonklink-PORT.", v => RingName = v);
            Text("Ring", "Folder", "",
                "Folder of shared memory; empty: /dev/shm, under Wine Z:\\dev\\shm.", v
                => RingFolder = v);
            Flag("Control", "InjectActions", true,
                "Whether agents may act; otherwise they only watch.", v => InjectActions = v);
            Flag("Control", "BlockUploads", true,
                "Keep scores and statistics of injected play off the leaderboards. Without it no action is injected.", v => BlockUploads = v);
            Number("Control", "LookDegreesPerSecond", 180, 1, 2000, "Turning rate of look = 1.", v
                => LookDegreesPerSecond = v);
            Text("Policy", "Library", "",
                "Path of libmetabonk_policy, to play by a compiled policy in this process; empty: agents play over the link.", v => PolicyLibrary = v);
            Text("Policy", "Path", "", "Folder of the compiled policy.", v => PolicyPath = v);
        }

        /// <summary>Why no agent may act; empty if it may.</summary>
        public string Refusal(UploadGuard guard)
        {
            if (!InjectActions) return "InjectActions = false";
            return BlockUploads ? guard.Refusal : "BlockUploads = false";
        }

        public ServerOptions Server(UploadGuard guard)
        {
            return new ServerOptions
            {
                Host = Host,
                Port = Port,
                Pipe = UsePipe ? PipeName : "",
                Protocol = Protocol,
                Limits = new Limits { FrameBytes = MaxFrameBytes },
                Axes = UnityAxes ? Axes.Unity : Axes.Ours,
                Token = Token,
                Name = "BonkLink 2.0.0",
                Format = Format,
                JpegQuality = JpegQuality,
                Width = Width,
                Height = Height,
                Rate = (int)FrameHz,
                Resets = Refusal(guard).Length == 0,
            };
        }
    }
}
