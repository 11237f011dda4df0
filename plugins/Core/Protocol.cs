// The numbers of BonkLink's framing (docs/bonklink.md): versions, types of messages, capabilities,
// limits. Knows no layout of a payload.
using System;

namespace Metabonk.Core
{
    /// <summary>What one end speaks; Auto: v1 until both ends have shown that they know
    /// v2.</summary>
    public enum Protocol { V1, V2, Auto }

    /// <summary>Values are v2's on the wire.</summary>
    public enum MessageType : ushort
    {
        None = 0,
        Hello = 1,
        HelloAck = 2,
        State = 3,
        Frame = 4,
        Action = 5,
        Reset = 6,
        Ping = 7,
        Pong = 8,
        Bye = 9,
    }

    [Flags]
    public enum Capabilities : uint
    {
        None = 0,
        Jpeg = 1 << 0,
        Rgb = 1 << 1,
        Rgba = 1 << 2,
        BottomUp = 1 << 3,  // raw rows from the bottom up
        Extra = 1 << 4,     // MBX2
        Input = 1 << 5,     // HINP
        Step = 1 << 6,      // STEP
        Ring = 1 << 7,      // frames through a shared-memory ring
        Stepped = 1 << 8,   // the game waits for an action after each state
        Resets = 1 << 9,    // RESET starts an episode
        All = (1 << 10) - 1,
    }

    public enum ByeReason : ushort { Leaving, Replaced, Token, Protocol, Version, Idle }

    /// <summary>Axes of positions in v1's part of a state; v1 does not say which.</summary>
    public enum Axes { Ours, Unity }

    /// <summary>The largest messages that an end accepts or makes.</summary>
    public sealed class Limits
    {
        public int StateBytes = 262144;
        public int FrameBytes = 4194304;  // 1080p raw needs 6,220,816

        public const int StateBytesCeiling = 16 << 20, FrameBytesCeiling = 256 << 20;

        public Limits Clone() { return new Limits { StateBytes = StateBytes,
            FrameBytes = FrameBytes }; }
    }

    public static class Wire
    {
        public const ushort Version1 = 1, Version2 = 2;
        public const int HeaderBytes = 28;
        public const int ActionBytesMax = 1023, ControlBytesMax = 16384;
        public const int FrameSideMax = 16384;

        // Four characters as a little-endian number.
        public const uint Magic = 'B' | 'N' << 8 | 'K' << 16 | '2' << 24;
        public const uint TagInput = 'H' | 'I' << 8 | 'N' << 16 | 'P' << 24;
        public const uint TagExtra = 'M' | 'B' << 8 | 'X' << 16 | '2' << 24;
        public const uint TagAnnounce = Magic;
        public const uint TagStep = 'S' | 'T' << 8 | 'E' << 16 | 'P' << 24;
        public const uint TagFrame = 'M' | 'B' << 8 | 'R' << 16 | 'F' << 24;

        /// <summary>v2's header.</summary>
        public static void WriteHeader(ByteWriter to, MessageType type, int payloadBytes,
            ulong sequence, long timeNs)
        {
            to.U32(Magic);
            to.U16(Version2);
            to.U16((ushort)type);
            to.U32((uint)payloadBytes);
            to.U64(sequence);
            to.U64((ulong)timeNs);
        }

        /// <summary>The largest payload of a type; types of the future are like control
        /// messages.</summary>
        public static int PayloadMax(MessageType type, Limits limits)
        {
            switch (type)
            {
                case MessageType.State: return limits.StateBytes;
                case MessageType.Frame: return limits.FrameBytes;
                case MessageType.Action: return ActionBytesMax;
                default: return ControlBytesMax;
            }
        }
    }
}
