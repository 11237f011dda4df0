// StreamDecoder: the bytes of one connection, in pieces of any size, into whole messages. No
// sockets, no clock. Memory grows only as bytes arrive, never by what a length field promises, and
// is bounded by the limits.
using System;

namespace Metabonk.Core
{
    /// <summary>Whose bytes a decoder reads.</summary>
    public enum Sender { Game, Agent }

    /// <summary>One whole message; its payload lies in the decoder until it is fed again.</summary>
    public struct Message
    {
        public MessageType Type;  // None: more bytes are needed
        public int Version;
        public ulong Sequence;  // v1: counted by the decoder
        public long TimeNs;     // the sender's clock; v1: 0
        public byte[] Bytes;
        public int Offset, Count;
    }

    public sealed class StreamDecoder
    {
        const int FirstRoom = 4096;

        readonly Sender sender;
        readonly Protocol protocol;
        readonly Limits limits;
        byte[] bytes = new byte[FirstRoom];
        int begin, end;
        ulong sequence;
        Message held;  // v1 lays a tick's state before its frame; it is handed out behind it
        string failed;

        public StreamDecoder(Sender sender, Protocol protocol, Limits limits)
        {
            this.sender = sender;
            this.protocol = protocol;
            this.limits = limits;
        }

        /// <summary>Of the last message; 0 before the first.</summary>
        public int Version { get; private set; }

        /// <summary>Messages of v2 of a type from the future, which were passed over.</summary>
        public long Unknown { get; private set; }

        public int Capacity { get { return bytes.Length; } }

        /// <summary>
        /// Where the next bytes may be written: Buffer from Free on. Messages that were handed out
        /// are gone afterwards.
        /// </summary>
        public int Room()
        {
            if (begin == end) begin = end = 0;
            if (begin > 0 && end == bytes.Length)
            {
                System.Buffer.BlockCopy(bytes, begin, bytes, 0, end - begin);
                end -= begin;
                begin = 0;
            }
            if (end == bytes.Length) Array.Resize(ref bytes, checked(bytes.Length * 2));
            return bytes.Length - end;
        }

        public byte[] Buffer { get { return bytes; } }
        public int Free { get { return end; } }

        public void Commit(int count)
        {
            if (count < 0 || count > bytes.Length - end)
                throw new ArgumentOutOfRangeException("count");
            end += count;
        }

        public void Feed(byte[] from, int offset, int count)
        {
            while (count > 0)
            {
                int part = Math.Min(Room(), count);
                System.Buffer.BlockCopy(from, offset, bytes, end, part);
                end += part;
                offset += part;
                count -= part;
            }
        }

        /// <summary>
        /// The next whole message. ProtocolException is final: every later call throws it again.
        /// </summary>
        public bool Next(out Message message)
        {
            if (failed != null) throw new ProtocolException(failed);
            try
            {
                return NextMessage(out message);
            }
            catch (ProtocolException error)
            {
                failed = error.Message;
                throw;
            }
        }

        bool NextMessage(out Message message)
        {
            message = new Message();
            if (held.Type != MessageType.None)
            {
                message = held;
                held = new Message();
                return true;
            }
            while (end - begin >= 4)
            {
                bool version2 = U32(begin) == Wire.Magic;
                if (!version2 && (protocol == Protocol.V2 || Version == Wire.Version2))
                    throw new ProtocolException("the peer speaks v1 where v2 is spoken: use protocol = auto or v1");
                if (version2 && protocol == Protocol.V1)
                    throw new ProtocolException("the peer speaks v2 where only v1 is: use protocol = auto");
                if (!version2)
                    return sender == Sender.Game ? Tick(out message) : ActionVersion1(out message);
                bool known;
                if (!MessageVersion2(out message, out known)) return false;
                if (known) return true;
                ++Unknown;
            }
            return false;
        }

        bool MessageVersion2(out Message message, out bool known)
        {
            message = new Message();
            known = false;
            if (end - begin < Wire.HeaderBytes) return false;
            ushort version = U16(begin + 4), type = U16(begin + 6);
            uint length = U32(begin + 8);
            if (version != Wire.Version2)
                throw new ProtocolException("header.version: " + version + ", 2 is spoken here");
            known = type >= 1 && type <= (ushort)MessageType.Bye;
            int most = Wire.PayloadMax(known ? (MessageType)type : MessageType.None, limits);
            if (length > (uint)most)
                throw new ProtocolException("header.length: " + length + " bytes, at most " + most
                    + " are taken");
            if (type == 0 || known && !Sends((MessageType)type))
                throw new ProtocolException("header.type: " + (MessageType)type + " is not what a "
                    + sender + " sends");
            if (end - begin - Wire.HeaderBytes < (int)length) return false;
            message.Type = (MessageType)type;
            message.Version = Version = Wire.Version2;
            message.Sequence = U64(begin + 12);
            message.TimeNs = (long)U64(begin + 20);
            message.Bytes = bytes;
            message.Offset = begin + Wire.HeaderBytes;
            message.Count = (int)length;
            begin += Wire.HeaderBytes + (int)length;
            return true;
        }

        bool Sends(MessageType type)
        {
            if (type == MessageType.Ping || type == MessageType.Pong || type == MessageType.Bye)
                return true;
            bool agents = type == MessageType.Hello || type == MessageType.Action
                || type == MessageType.Reset;
            return agents == (sender == Sender.Agent);
        }

        bool Tick(out Message message)
        {
            message = new Message();
            int state = Length(begin, 1, limits.StateBytes, "state");
            if (end - begin < 8 + state) return false;
            int frame = Length(begin + 4 + state, 0, limits.FrameBytes, "frame");
            if (end - begin < 8 + state + frame) return false;
            Version = Wire.Version1;
            message = Version1(MessageType.State, ++sequence, begin + 4, state);
            if (frame > 0)
            {
                held = message;
                message = Version1(MessageType.Frame, sequence, begin + 8 + state, frame);
            }
            begin += 8 + state + frame;
            return true;
        }

        bool ActionVersion1(out Message message)
        {
            message = new Message();
            int size = Length(begin, 1, Wire.ActionBytesMax, "action");
            if (end - begin < 4 + size) return false;
            Version = Wire.Version1;
            message = Version1(MessageType.Action, ++sequence, begin + 4, size);
            begin += 4 + size;
            return true;
        }

        Message Version1(MessageType type, ulong number, int offset, int count)
        {
            return new Message { Type = type, Version = Wire.Version1, Sequence = number,
                Bytes = bytes, Offset = offset, Count = count };
        }

        int Length(int at, int least, int most, string what)
        {
            int length = (int)U32(at);
            if (length < least || length > most)
                throw new ProtocolException(what + ".length: " + length + ", " + least + ".."
                    + most + " is taken");
            return length;
        }

        ushort U16(int at) { return (ushort)(bytes[at] | bytes[at + 1] << 8); }
        uint U32(int at) { return (uint)(U16(at) | U16(at + 2) << 16); }
        ulong U64(int at) { return U32(at) | (ulong)U32(at + 4) << 32; }
    }
}
