// Core as another process: the tests run its codec, its two ends of BonkLink, its ring and its
// settings beside ours. Usage: Peer COMMAND ARGUMENT...
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;
using System.Threading;
using Metabonk.Core;

static partial class Peer
{
    static int Main(string[] arguments)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        var rest = new List<string>(arguments);
        string command = rest[0];
        rest.RemoveAt(0);
        try
        {
            switch (command)
            {
                case "transcode": return Transcode(rest[0]);
                case "decode-many": return DecodeMany(rest[0], rest[1], int.Parse(rest[2]));
                case "decode": return Decode(rest[0], rest[1], int.Parse(rest[2]));
                case "serve": return Serve(Named(rest));
                case "agent": return Agent(Named(rest));
                case "jpeg": return Jpeg(int.Parse(rest[0]), int.Parse(rest[1]),
                    int.Parse(rest[2]));
                case "machine": Console.WriteLine(Machine.Id); return 0;
                case "options": return ShowOptions(rest);
                case "defaults":
                    Console.Write(rest[0] == "bonklink" ? new BonkLinkOptions().Defaults()
                        : new ResearchOptions().Defaults());
                    return 0;
                default: return More(command, rest);
            }
        }
        catch (Exception error) when (error is OptionException || error is IOException
            || error is ArgumentException || error is InvalidOperationException)
        {
            Console.Error.WriteLine(error.Message);
            return 1;
        }
    }

    // key=value arguments.
    static Dictionary<string, string> Named(List<string> arguments)
    {
        var named = new Dictionary<string, string>();
        foreach (string argument in arguments)
        {
            int at = argument.IndexOf('=');
            named[argument.Substring(0, at)] = argument.Substring(at + 1);
        }
        return named;
    }

    static string Get(Dictionary<string, string> named, string key, string otherwise)
    {
        string value;
        return named.TryGetValue(key, out value) ? value : otherwise;
    }

    static Protocol ProtocolOf(string name)
    {
        return name == "v1" ? Protocol.V1 : name == "v2" ? Protocol.V2 : Protocol.Auto;
    }

    // i32 length | bytes on standard input, the same on standard output; length -1 before an error.
    static int Transcode(string kind)
    {
        var input = new BinaryReader(Console.OpenStandardInput());
        var output = new BinaryWriter(Console.OpenStandardOutput());
        var writer = new ByteWriter(64);
        while (true)
        {
            byte[] length = input.ReadBytes(4);
            if (length.Length < 4) break;
            byte[] bytes = input.ReadBytes(BitConverter.ToInt32(length, 0));
            writer.Clear();
            try
            {
                TranscodeOne(kind, bytes, writer);
                output.Write(writer.Count);
                output.Write(writer.Bytes, 0, writer.Count);
            }
            catch (ProtocolException error)
            {
                byte[] text = Encoding.UTF8.GetBytes(error.Message);
                output.Write(-1);
                output.Write(text.Length);
                output.Write(text);
            }
        }
        output.Flush();
        return 0;
    }

    static readonly GameState scratch = new GameState();
    static readonly Frame frame = new Frame();

    static void TranscodeOne(string kind, byte[] bytes, ByteWriter to)
    {
        string[] words = kind.Split(':');
        switch (words[0])
        {
            case "state":
            case "unity":
                Axes axes = words[0] == "unity" ? Axes.Unity : Axes.Ours;
                StateTrailers trailers = StateCodec.Read(bytes, 0, bytes.Length, axes, scratch);
                StateCodec.Write(scratch, trailers, axes, to);
                break;
            case "action1":
                int width = int.Parse(words[1]), height = int.Parse(words[2]);
                PlayerAction first = ActionCodec.ReadVersion1(bytes, 0, bytes.Length, width,
                    height);
                ActionCodec.WriteVersion1(first, width, height, to);
                break;
            case "action12":  // v1 in, v2 out
                ActionCodec.WriteVersion2(ActionCodec.ReadVersion1(bytes, 0, bytes.Length,
                    int.Parse(words[1]), int.Parse(words[2])), 0, to);
                break;
            case "action21":  // v2 in, v1 out
                ulong ignored;
                ActionCodec.WriteVersion1(ActionCodec.ReadVersion2(bytes, 0, bytes.Length,
                    out ignored), int.Parse(words[1]), int.Parse(words[2]), to);
                break;
            case "action2":
                ulong answers;
                PlayerAction action = ActionCodec.ReadVersion2(bytes, 0, bytes.Length, out answers);
                ActionCodec.WriteVersion2(action, answers, to);
                break;
            case "frame1":
                FrameCodec.ReadVersion1(bytes, 0, bytes.Length, frame);
                FrameCodec.WriteVersion1(frame, to);
                break;
            case "frame2":
                FrameCodec.ReadVersion2(bytes, 0, bytes.Length, frame);
                FrameCodec.WriteVersion2(frame, to);
                break;
            case "hello":
                Hello.Read(bytes, 0, bytes.Length).Write(to);
                break;
            case "reset":
                ResetRequest.Read(bytes, 0, bytes.Length).Write(to);
                break;
            case "pong":
                Pong.Read(bytes, 0, bytes.Length).Write(to);
                break;
            case "bye":
                Bye.Read(bytes, 0, bytes.Length).Write(to);
                break;
            default: throw new ArgumentException("kind: " + kind);
        }
    }

    // Standard input in pieces through a decoder: one line per message, the error last.
    static int Decode(string sender, string protocol, int piece)
    {
        var decoder = new StreamDecoder(sender == "game" ? Sender.Game : Sender.Agent,
            ProtocolOf(protocol), new Limits());
        Stream input = Console.OpenStandardInput();
        var bytes = new byte[piece];
        var lines = new StringBuilder();
        try
        {
            int count;
            while ((count = input.Read(bytes, 0, piece)) > 0)
            {
                decoder.Feed(bytes, 0, count);
                Message message;
                while (decoder.Next(out message))
                    lines.AppendFormat("{0} {1} {2} {3} {4:x8}\n", message.Version, message.Type,
                        message.Sequence, message.Count,
                        Hash(message.Bytes, message.Offset, message.Count));
            }
        }
        catch (ProtocolException error)
        {
            lines.Append("error ").Append(error.Message).Append('\n');
        }
        lines.AppendFormat("capacity {0} unknown {1}\n", decoder.Capacity, decoder.Unknown);
        Console.Out.Write(lines.ToString());
        return 0;
    }

    // Streams, each with its length before it: a line of what each gave, "error" last where it did.
    static int DecodeMany(string sender, string protocol, int piece)
    {
        var input = new BinaryReader(Console.OpenStandardInput());
        var lines = new StringBuilder();
        while (true)
        {
            byte[] length = input.ReadBytes(4);
            if (length.Length < 4) break;
            byte[] bytes = input.ReadBytes(BitConverter.ToInt32(length, 0));
            var decoder = new StreamDecoder(sender == "game" ? Sender.Game : Sender.Agent,
                ProtocolOf(protocol), new Limits());
            try
            {
                for (int at = 0; at < bytes.Length; at += piece)
                {
                    decoder.Feed(bytes, at, Math.Min(piece, bytes.Length - at));
                    Message message;
                    while (decoder.Next(out message))
                        lines.AppendFormat("{0}:{1}:{2}:{3}:{4:x8} ", (int)message.Type,
                            message.Version, message.Sequence, message.TimeNs,
                            Hash(message.Bytes, message.Offset, message.Count));
                }
            }
            catch (ProtocolException)
            {
                lines.Append("error ");
            }
            lines.Append('\n');
        }
        Console.Out.Write(lines.ToString());
        return 0;
    }

    /// <summary>CRC-32, which Python's zlib has too.</summary>
    static uint Hash(byte[] bytes, int offset, int count)
    {
        uint crc = 0xFFFFFFFF;
        for (int i = 0; i < count; ++i)
        {
            crc ^= bytes[offset + i];
            for (int bit = 0; bit < 8; ++bit)
                crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
        }
        return ~crc;
    }

    // A game that says what it was told: state n has the last action's moves and jump as position,
    // its click and choice as velocity, and a picture whose every byte follows from n.
    static int Serve(Dictionary<string, string> named)
    {
        int width = int.Parse(Get(named, "width", "32")), height =
            int.Parse(Get(named, "height", "24")), hz = int.Parse(Get(named, "hz", "200"));
        var options = new ServerOptions
        {
            Port = 0,
            Pipe = Get(named, "pipe", ""),
            Protocol = ProtocolOf(Get(named, "protocol", "auto")),
            Axes = Get(named, "axes", "ours") == "unity" ? Axes.Unity : Axes.Ours,
            Format = Get(named, "format", "raw") == "raw" ? PixelFormat.Rgb : PixelFormat.Jpeg,
            Token = Get(named, "token", ""),
            Width = width,
            Height = height,
            Rate = hz,
            Resets = true,
            Ring = Get(named, "ring", ""),
            Limits = new Limits { FrameBytes = int.Parse(Get(named, "frameBytes", "4194304")) },
        };
        var actions = new ActionMailbox(60000000000L);  // no test waits so long
        using (RingWriter ring = Get(named, "makeRing", "0") == "1"
            ? new RingWriter(null, options.Ring, width * height * 4) : null)
        using (var server = new GameServer(options, actions, Console.Error.WriteLine))
        {
            Console.WriteLine(server.Port);
            Console.Out.Flush();
            var stop = new ManualResetEvent(false);
            var watcher = new Thread(delegate() { Console.In.ReadLine(); stop.Set(); }) { IsBackground = true };
            watcher.Start();
            var state = new GameState();
            var picture = new Frame();
            uint n = 0;
            ulong seed = 0;
            PlayerAction pressed = PlayerAction.Idle;
            while (!stop.WaitOne(1000 / hz))
            {
                ++n;
                ResetRequest reset;
                if (server.TakeReset(out reset)) seed = reset.Seed;
                ArrivedAction arrived;
                // A press is in one tick's action alone, whose state an agent may never see.
                if (actions.Take(Clock.Now, out arrived) == ActionSource.Fresh)
                    pressed = arrived.Action;
                Sample(state, n, seed, arrived.Action, pressed);
                Picture(picture, n, width, height, Get(named, "pixels", "rgb") == "rgba"
                    ? PixelFormat.Rgba : PixelFormat.Rgb);
                if (ring != null) ring.Write(picture);
                server.Publish(picture);
                var trailers = new StateTrailers { Input = new InputSnapshot { MoveX = 0.5f,
                    Fire = true } };
                trailers.Step = new StepResult { Reward = n, ActionSequence = actions.LastTaken,
                    Episode = 1, IsFirst = n == 1 };
                server.Publish(state, trailers, Clock.Now);
            }
            LinkCounts counts = server.Counts;
            Console.WriteLine("connections {0} refused {1} errors {2} actions {3} resets {4} made {5} sent {6} overtaken {7} skipped {8} large {9}",
                counts.Connections, counts.Refused, counts.ProtocolErrors, counts.Actions,
                    counts.Resets, n, counts.StatesSent, counts.StatesOvertaken,
                    counts.ActionsSkipped, counts.FramesTooLarge);
        }
        return 0;
    }

    static void Sample(GameState state, uint n, ulong seed, PlayerAction action,
        PlayerAction pressed)
    {
        state.Clear();
        state.Fields = FieldGroup.Everything;
        state.Time = n / 64.0;
        state.RunSeed = seed;
        state.Position = new Point3(action.MoveX, action.MoveY, pressed.Jump);
        state.Velocity = new Point3(pressed.ClickX, pressed.ClickY, pressed.Choice);
        state.Health = 75;
        state.MaxHealth = 100;
        state.Playing = true;
        state.Kills = n;
        state.Level = 3;
        state.Menu = "Gameplay";
        state.EnemyCount = (int)(n % 5);
        for (int i = 0; i < state.EnemyCount; ++i)
            state.Enemies[i] = new Enemy { Id = n + (uint)i, Kind = 2, Flags = EnemyFlags.Elite,
                Position = new Point3(i, 2, 3), Velocity = new Point3(1, 0, 0), Health = 9,
                MaxHealth = 10 };
        state.PickupCount = 1;
        state.Pickups[0] = new Pickup { Id = 7, Kind = PickupKind.Chest,
            Position = new Point3(1, 2, 3), Value = 4 };
        state.WidgetCount = 1;
        state.Widgets[0] = new Widget { X0 = 0.25f, Y0 = 0.5f, X1 = 0.75f, Y1 = 1, Enabled = true,
            Offer = 1, Text = "Bogen für Anfänger" };
        state.OfferCount = 1;
        var offer = new Offer { Kind = OfferKind.Tome, Rarity = 2, Item = 3, Level = 4,
            ChangeCount = 1, Text = "Tome" };
        offer.SetChange(0, new StatChange { Stat = 5, Multiply = true, Amount = 0.25f });
        state.Offers[0] = offer;
        state.Weapons[0] = new Slot { Kind = 1, Level = 2 };
    }

    static void Picture(Frame picture, uint n, int width, int height, PixelFormat format)
    {
        picture.ReserveRaw(format, RowOrder.BottomUp, width, height);
        picture.CaptureNs = Clock.Now;
        picture.Step = n;
        for (int i = 0; i < picture.Bytes; ++i) picture.Pixels[i] = (byte)(n * 31 + (uint)i * 7);
    }

    // Answers `ticks` states and says what they were.
    static int Agent(Dictionary<string, string> named)
    {
        var options = new ClientOptions { Port = int.Parse(named["port"]),
            Protocol = ProtocolOf(Get(named, "protocol", "auto")), Token =
            Get(named, "token", "") };
        using (var client = new AgentClient(options))
        {
            var state = new GameState();
            var seen = new Frame();
            var writer = new ByteWriter(1024);
            int ticks = int.Parse(named["ticks"]);
            for (int i = 0; i < ticks; ++i)
            {
                TickInfo tick;
                if (!client.Wait(10000, state, seen, out tick))
                {
                    Console.WriteLine("ended " + (client.Ended ?? "nothing came"));
                    return 0;
                }
                writer.Clear();
                StateCodec.Write(state, tick.Trailers, Axes.Ours, writer);
                uint picture = tick.FrameSequence != 0 ? Hash(seen.Pixels, 0, seen.Bytes) : 0;
                Console.WriteLine("{0} {1} {2:x8} {3} {4}x{5} {6} {7} {8:x8}", tick.Version,
                    tick.Sequence, Hash(writer.Bytes, 0, writer.Count), tick.FrameSequence,
                    seen.Width, seen.Height, seen.Format, seen.RowOrder, picture);
                client.Send(new PlayerAction { MoveX = i / 256f, MoveY = -1, Jump = 1, ClickX = -1,
                    ClickY = -1 }, tick.Sequence);
            }
        }
        return 0;
    }

    // Raw RGB on standard input, a JPEG on standard output.
    static int Jpeg(int width, int height, int quality)
    {
        frame.ReserveRaw(PixelFormat.Rgb, RowOrder.TopDown, width, height);
        Stream input = Console.OpenStandardInput();
        for (int at = 0; at < frame.Bytes;) at += input.Read(frame.Pixels, at, frame.Bytes - at);
        var jpeg = new Frame();
        new JpegEncoder(quality).Encode(frame, jpeg);
        using (Stream output = Console.OpenStandardOutput())
            output.Write(jpeg.Pixels, 0, jpeg.Bytes);
        return 0;
    }

    static int ShowOptions(List<string> arguments)
    {
        var options = new BonkLinkOptions();
        options.Load(arguments[0]);
        Console.WriteLine("{0} {1} {2} {3} {4} {5} {6}", options.Host, options.Port,
            options.Protocol, options.Format, options.EnableInputSnapshot, options.FrameHz,
            options.HoldMs);
        foreach (string unknown in options.Unknown) Console.WriteLine("unknown " + unknown);
        return 0;
    }
}
