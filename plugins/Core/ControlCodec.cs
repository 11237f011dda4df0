// HELLO, HELLO_ACK, RESET, PONG and BYE of v2: their payloads, and how an answer follows from a
// question.
using System;

namespace Metabonk.Core
{
    /// <summary>What an end can do and asks for (HELLO), or what both will do
    /// (HELLO_ACK).</summary>
    public sealed class Hello
    {
        public const int TextBytes = 255;

        public ushort LowestVersion = Wire.Version2, HighestVersion = Wire.Version2;
        public Capabilities Capabilities;
        public Limits Limits = new Limits();
        public ushort Width, Height;  // of frames; 0: any
        public ushort Rate;           // states per second; 0: any
        public ulong Machine;         // equal on one machine and one boot; 0: unknown
        public string Token = "", Ring = "", Name = "";

        public void Write(ByteWriter to)
        {
            to.U16(LowestVersion);
            to.U16(HighestVersion);
            to.U32((uint)Capabilities);
            to.U32((uint)Limits.StateBytes);
            to.U32((uint)Limits.FrameBytes);
            to.U16(Width);
            to.U16(Height);
            to.U16(Rate);
            to.U16(0);
            to.U64(Machine);
            to.U64(0);
            to.String(Token, TextBytes);
            to.String(Ring, TextBytes);
            to.String(Name, TextBytes);
        }

        public static Hello Read(byte[] bytes, int offset, int count)
        {
            var from = new ByteReader(bytes, offset, count);
            var hello = new Hello
            {
                LowestVersion = from.U16("hello.lowest"),
                HighestVersion = from.U16("hello.highest"),
                Capabilities = (Capabilities)from.U32("hello.capabilities") & Capabilities.All,
            };
            uint stateBytes = from.U32("hello.stateBytes"), frameBytes =
                from.U32("hello.frameBytes");
            hello.Limits.StateBytes = (int)Math.Min(stateBytes, (uint)Limits.StateBytesCeiling);
            hello.Limits.FrameBytes = (int)Math.Min(frameBytes, (uint)Limits.FrameBytesCeiling);
            hello.Width = from.U16("hello.width");
            hello.Height = from.U16("hello.height");
            hello.Rate = from.U16("hello.rate");
            from.Skip(2, "hello");
            hello.Machine = from.U64("hello.machine");
            from.Skip(8, "hello");
            hello.Token = Text(ref from, "hello.token");
            hello.Ring = Text(ref from, "hello.ring");
            hello.Name = Text(ref from, "hello.name");
            if (hello.LowestVersion > hello.HighestVersion)
                throw new ProtocolException("hello.lowest: " + hello.LowestVersion
                    + " is above the highest, " + hello.HighestVersion);
            return hello;
        }

        static string Text(ref ByteReader from, string field)
        {
            int begin = from.At;
            string text = from.String(field);
            if (from.At - begin > TextBytes + 2)
                throw new ProtocolException(field + ": longer than " + TextBytes + " bytes");
            return text;
        }

        /// <summary> The answer of a game that could do `offered` to an agent that asks for
        /// `asked`: what both have, the smaller limits, the ring only on one machine; null if they
        /// share no version. </summary>
        public static Hello Negotiate(Hello offered, Hello asked)
        {
            int version = Math.Min(offered.HighestVersion, asked.HighestVersion);
            if (version < offered.LowestVersion || version < asked.LowestVersion) return null;
            var answer = new Hello
            {
                LowestVersion = (ushort)version,
                HighestVersion = (ushort)version,
                Capabilities = offered.Capabilities & asked.Capabilities,
                Width = offered.Width,
                Height = offered.Height,
                Rate = offered.Rate,
                Machine = offered.Machine,
                Ring = offered.Ring,
                Name = offered.Name,
            };
            answer.Limits.StateBytes = Math.Min(offered.Limits.StateBytes, asked.Limits.StateBytes);
            answer.Limits.FrameBytes = Math.Min(offered.Limits.FrameBytes, asked.Limits.FrameBytes);
            bool together = offered.Machine != 0 && offered.Machine == asked.Machine
                && offered.Ring.Length > 0;
            if (!together || (answer.Capabilities & Capabilities.Ring) == 0)
            {
                answer.Capabilities &= ~Capabilities.Ring;
                answer.Ring = "";
            }
            return answer;
        }

        /// <summary>Compares secrets in a time that depends on their lengths only.</summary>
        public static bool SameToken(string a, string b)
        {
            byte[] left = System.Text.Encoding.UTF8.GetBytes(a), right =
                System.Text.Encoding.UTF8.GetBytes(b);
            int different = left.Length ^ right.Length;
            for (int i = 0; i < right.Length; ++i)
                different |= right[i] ^ (left.Length == 0 ? 1 : left[i % left.Length]);
            return different == 0;
        }
    }

    /// <summary>Starts an episode.</summary>
    public struct ResetRequest
    {
        public ulong Seed;
        public bool HasSeed;  // else the game picks one

        public void Write(ByteWriter to)
        {
            to.U64(Seed);
            to.U32(HasSeed ? 1u : 0u);
        }

        public static ResetRequest Read(byte[] bytes, int offset, int count)
        {
            var from = new ByteReader(bytes, offset, count);
            return new ResetRequest { Seed = from.U64("reset.seed"),
                HasSeed = (from.U32("reset.flags") & 1) != 0 };
        }
    }

    /// <summary>The answer to a PING: with the times of both headers, the four times of
    /// NTP.</summary>
    public struct Pong
    {
        public ulong PingSequence;
        public long PingNs;      // the asking end's clock, when it asked
        public long ReceivedNs;  // the answering end's clock, when it heard

        public void Write(ByteWriter to)
        {
            to.U64(PingSequence);
            to.U64((ulong)PingNs);
            to.U64((ulong)ReceivedNs);
        }

        public static Pong Read(byte[] bytes, int offset, int count)
        {
            var from = new ByteReader(bytes, offset, count);
            return new Pong
            {
                PingSequence = from.U64("pong.sequence"),
                PingNs = (long)from.U64("pong.ping"),
                ReceivedNs = (long)from.U64("pong.received"),
            };
        }
    }

    /// <summary>The end of a connection.</summary>
    public struct Bye
    {
        public ByeReason Reason;
        public string Text;

        public void Write(ByteWriter to)
        {
            to.U16((ushort)Reason);
            to.String(Text, Hello.TextBytes);
        }

        public static Bye Read(byte[] bytes, int offset, int count)
        {
            var from = new ByteReader(bytes, offset, count);
            return new Bye { Reason = (ByeReason)from.U16("bye.reason"),
                Text = from.String("bye.text") };
        }
    }
}
