// TickWriter: a state and its picture as the agent at the other end reads them: in v1 or v2, with the
// trailers and in the format that were agreed upon. Keeps its memory from tick to tick; knows no
// socket. One thread.
using System;

namespace Metabonk.Core
{
    sealed class TickWriter
    {
        readonly ServerOptions options;
        readonly Action<string> log;
        readonly JpegEncoder jpeg;
        readonly Frame converted = new Frame();
        readonly ByteWriter payload = new ByteWriter(1 << 16), message = new ByteWriter(1 << 16);
        bool announced, tooLargeSaid;

        public TickWriter(ServerOptions options, Action<string> log)
        {
            this.options = options;
            this.log = log;
            jpeg = new JpegEncoder(options.JpegQuality);
        }

        public byte[] Bytes { get { return message.Bytes; } }
        public int Count { get { return message.Count; } }

        /// <summary>Whether the last tick's picture was larger than is agreed upon.</summary>
        public bool TooLarge { get; private set; }

        /// <summary>Makes Bytes a tick. hello: what was agreed upon, null in v1; number: of the state,
        /// in v2; frame: null if there is no new one. Whether a picture is in it: one that comes
        /// through the ring or is too large is not.</summary>
        public bool Write(Hello hello, ulong number, GameState state, StateTrailers trailers,
            long captureNs, Frame frame)
        {
            message.Clear();
            bool ring = hello != null && (hello.Capabilities & Capabilities.Ring) != 0;
            Frame picture = frame != null && !ring ? Chosen(frame, hello) : null;
            TooLarge = picture != null && !Fits(picture, hello);
            if (TooLarge) picture = null;
            if (hello == null) Write1(state, trailers, picture);
            else
            {
                if (picture != null) WriteFrame2(number, picture, frame.CaptureNs);
                WriteState2(hello, number, state, trailers, captureNs);
            }
            return picture != null;
        }

        // Said once: every picture of a game is about as large, and all are counted.
        bool Fits(Frame picture, Hello hello)
        {
            Limits limits = hello != null ? hello.Limits : options.Limits;
            long bytes = FrameCodec.Size(picture, hello != null ? 2 : 1);
            if (bytes <= limits.FrameBytes) return true;
            if (!tooLargeSaid)
                log("a frame of " + bytes + " bytes is larger than the limit of "
                    + limits.FrameBytes + " and is not sent: raise MaxFrameBytes, the agent's too");
            tooLargeSaid = true;
            return false;
        }

        void Write1(GameState state, StateTrailers trailers, Frame picture)
        {
            trailers.Extra = options.Axes == Axes.Ours;
            // With the announcement STEP too: an agent that comes back knows by it whether its last
            // action was taken.
            if (!announced && options.Protocol == Protocol.Auto)
                trailers.Announcement = new Announcement { LowestVersion = Wire.Version2,
                    HighestVersion = Wire.Version2, Capabilities = options.Offered };
            else trailers.Step = null;
            announced = true;
            int length = message.Skip(4);
            StateCodec.Write(state, trailers, options.Axes, message);
            message.PatchI32(length, message.Count - length - 4);
            length = message.Skip(4);
            if (picture != null) FrameCodec.WriteVersion1(picture, message);
            message.PatchI32(length, message.Count - length - 4);
        }

        void WriteFrame2(ulong number, Frame picture, long captureNs)
        {
            payload.Clear();
            FrameCodec.WriteVersion2(picture, payload);
            Wire.WriteHeader(message, MessageType.Frame, payload.Count, number, captureNs);
            message.Raw(payload.Bytes, 0, payload.Count);
        }

        void WriteState2(Hello hello, ulong number, GameState state, StateTrailers trailers,
            long captureNs)
        {
            trailers.Extra = (hello.Capabilities & Capabilities.Extra) != 0;
            if ((hello.Capabilities & Capabilities.Input) == 0) trailers.Input = null;
            if ((hello.Capabilities & Capabilities.Step) == 0) trailers.Step = null;
            payload.Clear();
            StateCodec.Write(state, trailers, options.Axes, payload);
            Wire.WriteHeader(message, MessageType.State, payload.Count, number, captureNs);
            message.Raw(payload.Bytes, 0, payload.Count);
        }

        /// <summary>A frame in the format that was agreed upon; v1: as the options say.</summary>
        Frame Chosen(Frame frame, Hello hello)
        {
            if (frame.Format == PixelFormat.Jpeg) return frame;
            Capabilities can = hello == null ? Capabilities.None : hello.Capabilities;
            bool raw = options.Format != PixelFormat.Jpeg
                && (hello == null || (can & (Capabilities.Rgb | Capabilities.Rgba)) != 0);
            if (!raw)
            {
                jpeg.Encode(frame, converted);
                return converted;
            }
            bool upright = frame.RowOrder == RowOrder.TopDown || (can & Capabilities.BottomUp) != 0;
            bool asItIs = frame.Format == PixelFormat.Rgba ? (can & Capabilities.Rgba) != 0
                : (can & Capabilities.Rgb) != 0;
            if (hello == null && frame.Format == PixelFormat.Rgb)
                return frame;  // WriteVersion1 turns rows
            if (hello != null && upright && asItIs) return frame;
            FrameConverter.ToRgb(frame, hello == null ? RowOrder.BottomUp : RowOrder.TopDown,
                converted);
            return converted;
        }
    }
}
