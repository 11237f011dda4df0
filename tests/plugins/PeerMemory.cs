// Core's ring, settings of a plugin and its memory for ResearchPlugin as another process.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;
using Metabonk.Core;

static partial class Peer
{
    static int More(string command, List<string> rest)
    {
        switch (command)
        {
            case "prepare": return Prepare(rest);
            case "mailbox": return Mailbox(rest);
            case "guard": return Guard();
            case "policy": return Policy(rest[0], rest[1]);
            case "research-file": return ResearchFile(rest[0]);
            case "ring-layout": return RingOffsets();
            case "ring-write": return RingWrite(Named(rest));
            case "ring-read": return RingRead(Named(rest));
            default: throw new ArgumentException("command: " + command);
        }
    }

    // Compiles every method of assemblies on this runtime: what it lacks is an error here, and not
    // in the middle of a game.
    static int Prepare(List<string> paths)
    {
        const BindingFlags all =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        AppDomain.CurrentDomain.AssemblyResolve += delegate(object sender, ResolveEventArgs wanted)
        {
            string beside = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(paths[0])),
                new AssemblyName(wanted.Name).Name + ".dll");
            return File.Exists(beside) ? Assembly.LoadFrom(beside) : null;
        };
        int prepared = 0;
        foreach (string path in paths)
        {
            foreach (Type type in Assembly.LoadFrom(Path.GetFullPath(path)).GetTypes())
            {
                if (type.ContainsGenericParameters) continue;
                foreach (MethodBase method in type.GetMembers(all).OfType<MethodBase>())
                {
                    if (method.IsAbstract || method.ContainsGenericParameters
                        || (method.Attributes & MethodAttributes.PinvokeImpl) != 0)
                        continue;
                    if (typeof(Delegate).IsAssignableFrom(type)) continue;
                    System.Runtime.CompilerServices.RuntimeHelpers.PrepareMethod(method.MethodHandle);
                    ++prepared;
                }
            }
        }
        Console.WriteLine(prepared);
        return 0;
    }

    // put MS MOVE JUMP CHOICE | take MS | clear, one after the other, with a hold of 100 ms.
    static int Mailbox(List<string> words)
    {
        var mailbox = new ActionMailbox(100 * 1000000L);
        for (int i = 0; i < words.Count;)
        {
            string word = words[i++];
            if (word == "clear")
            {
                mailbox.Clear();
                continue;
            }
            long now = long.Parse(words[i++]) * 1000000L;
            if (word == "put")
            {
                PlayerAction action = PlayerAction.Idle;
                action.MoveX = float.Parse(words[i++]);
                action.Jump = float.Parse(words[i++]);
                action.Choice = float.Parse(words[i++]);
                mailbox.Put(new ArrivedAction { Action = action, ReceivedNs = now });
                continue;
            }
            ArrivedAction taken;
            ActionSource source = mailbox.Take(now, out taken);
            Console.WriteLine("{0} {1} {2} {3}", source, taken.Action.MoveX, taken.Action.Jump,
                taken.Action.Choice);
        }
        ActionCounts counts = mailbox.Counts;
        Console.WriteLine("received {0} overtaken {1} fresh {2} held {3} safe {4}",
            counts.Received, counts.Overtaken, counts.Fresh, counts.Held, counts.Safe);
        return 0;
    }

    // Makes a game's file for ResearchPlugin, and takes it away again.
    static int ResearchFile(string path)
    {
        using (new ResearchMemory(path, 4, 3)) Console.WriteLine(File.Exists(path));
        return 0;
    }

    static int Guard()
    {
        var said = new List<string>();
        var guard = new UploadGuard(said.Add);
        Console.WriteLine("{0} {1}", guard.MayInject(), guard.MayUpload("a"));
        guard.Guards(UploadKind.Scores);
        Console.WriteLine("{0} {1}", guard.MayInject(), guard.Refusal);
        guard.Guards(UploadKind.Statistics);
        Console.WriteLine("{0} {1} {2}", guard.MayUpload("b"), guard.MayInject(),
            guard.Refusal.Length);
        Console.WriteLine("{0} {1} {2}", guard.MayUpload("c"), guard.MayUpload("d"), guard.Blocked);
        Console.WriteLine(said.Count);
        return 0;
    }

    // States as on the wire come in, each with its length before it; rows of 12 float32 go out.
    static int Policy(string library, string path)
    {
        using (var pilot = new PolicyPilot(library, path))
        {
            var input = new BinaryReader(Console.OpenStandardInput());
            var output = new BinaryWriter(Console.OpenStandardOutput());
            var row = new ByteWriter(64);
            while (true)
            {
                byte[] length = input.ReadBytes(4);
                if (length.Length < 4) break;
                byte[] bytes = input.ReadBytes(BitConverter.ToInt32(length, 0));
                StateCodec.Read(bytes, 0, bytes.Length, Axes.Ours, scratch);
                row.Clear();
                ActionCodec.WriteVersion2(pilot.Act(scratch, frame), 0, row);
                output.Write(row.Bytes, 8, 48);
            }
            output.Flush();
        }
        return 0;
    }

    // name offset, as the runtime lays the structs out.
    static unsafe int RingOffsets()
    {
        RingHeader h;
        RingReaderEntry r;
        RingSlot s;
        byte* header = (byte*)&h, reader = (byte*)&r, slot = (byte*)&s;
        Console.WriteLine("header {0} reader {1} slot {2}", sizeof(RingHeader),
            sizeof(RingReaderEntry), sizeof(RingSlot));
        Action<string, long> show = delegate(string name,
            long at) { Console.WriteLine("{0} {1}", name, at); };
        show("header.magic", (byte*)&h.Magic - header);
        show("header.version", (byte*)&h.Version - header);
        show("header.header_bytes", (byte*)&h.HeaderBytes - header);
        show("header.session", (byte*)&h.Session - header);
        show("header.total_bytes", (byte*)&h.TotalBytes - header);
        show("header.slot_count", (byte*)&h.SlotCount - header);
        show("header.reader_count", (byte*)&h.ReaderCount - header);
        show("header.lease_count", (byte*)&h.LeaseCount - header);
        show("header.flags", (byte*)&h.Flags - header);
        show("header.pixels_offset", (byte*)&h.PixelsOffset - header);
        show("header.pixels_stride", (byte*)&h.PixelsStride - header);
        show("header.newest", (byte*)&h.Newest - header);
        show("header.doorbell", (byte*)&h.Doorbell - header);
        show("header.state", (byte*)&h.State - header);
        show("header.coming", (byte*)&h.Coming - header);
        show("header.sleeper", (byte*)&h.Sleeper - header);
        show("header.beat", (byte*)&h.Beat - header);
        show("reader.token", (byte*)&r.Token - reader);
        show("reader.flags", (byte*)&r.Flags - reader);
        show("reader.beat", (byte*)&r.Beat - reader);
        show("reader.leases", (byte*)&r.Leases - reader);
        show("slot.sequence", (byte*)&s.Sequence - slot);
        show("slot.step", (byte*)&s.Step - slot);
        show("slot.capture_ns", (byte*)&s.CaptureNs - slot);
        show("slot.bytes", (byte*)&s.Bytes - slot);
        show("slot.width", (byte*)&s.Width - slot);
        show("slot.height", (byte*)&s.Height - slot);
        show("slot.channels", (byte*)&s.Channels - slot);
        show("slot.row_stride", (byte*)&s.RowStride - slot);
        show("slot.format", (byte*)&s.Format - slot);
        show("slot.row_order", (byte*)&s.RowOrder - slot);
        return 0;
    }

    // Frames whose every byte is their number, until a line comes in. growAt: from that frame on
    // they are twice as wide.
    static unsafe int RingWrite(Dictionary<string, string> named)
    {
        int width = int.Parse(Get(named, "width", "64")), height =
            int.Parse(Get(named, "height", "48"));
        long growAt = long.Parse(Get(named, "growAt", "0")), most =
            long.Parse(Get(named, "frames", "0")), pause = long.Parse(Get(named, "pauseMs", "0"));
        using (var ring = new RingWriter(Get(named, "folder", null), named["name"],
            width * height * 3))
        {
            Console.WriteLine(ring.FilePath);
            Console.Out.Flush();
            var stop = new ManualResetEvent(false);
            new Thread(delegate() { Console.In.ReadLine(); stop.Set(); }) { IsBackground = true }.Start();
            long n = 0;
            while (!stop.WaitOne((int)pause) && (most == 0 || n < most))
            {
                if (++n == growAt) width *= 2;
                int bytes = width * height * 3;
                byte* to = ring.Begin(bytes);
                for (int i = 0; i < bytes; ++i) to[i] = (byte)n;
                ring.Commit(Ring.Rgb8, RowOrder.BottomUp, width, height, 3, width * 3, (ulong)n,
                    Clock.Now);
            }
            stop.WaitOne();
            RingCounts counts = ring.Counts;
            Console.WriteLine("frames {0} renewed {1} lost {2}", counts.Frames, counts.Renewed,
                counts.ReadersLost);
        }
        return 0;
    }

    // Takes frames, each of which must be one number all over, until there were `frames` or the
    // writer is gone.
    static int RingRead(Dictionary<string, string> named)
    {
        int wanted = int.Parse(named["frames"]);
        using (var ring = new RingReader(Get(named, "folder", null), named["name"]))
        {
            var seen = new Frame();
            int torn = 0, taken = 0;
            ulong number = 0, before = 0;
            ulong session = 0;
            while (taken < wanted)
            {
                RingTake take = ring.Latest(int.Parse(Get(named, "waitMs", "5000")), seen,
                    out number);
                if (take != RingTake.Frame)
                {
                    Console.WriteLine(take);
                    break;
                }
                if (ring.Session == session && number <= before)
                    throw new IOException("frame " + number + " came after " + before);
                session = ring.Session;
                before = number;
                ++taken;
                for (int i = 0; i < seen.Bytes; ++i)
                {
                    if (seen.Pixels[i] == seen.Pixels[0]) continue;
                    ++torn;
                    break;
                }
                if (taken == 1)
                {
                    Console.WriteLine("first {0}x{1} {2} {3} step {4} byte {5}", seen.Width,
                        seen.Height, seen.Format, seen.RowOrder, seen.Step, seen.Pixels[0]);
                    Console.Out.Flush();
                }
            }
            Console.WriteLine("taken {0} torn {1} attached {2} width {3}", taken, torn,
                ring.Attached, seen.Width);
        }
        return 0;
    }
}
