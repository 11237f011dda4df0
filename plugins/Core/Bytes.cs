// ByteReader and ByteWriter: little-endian fields in memory. Reading past the end is a
// ProtocolException that names the field; writing grows the writer's own memory, which is kept, so
// that nothing is allocated once the largest message has been written. Knows no message.
using System;
using System.Text;

namespace Metabonk.Core
{
    /// <summary>Bytes of another process that are not what they claim to be.</summary>
    public sealed class ProtocolException : Exception
    {
        public ProtocolException(string message) : base(message) { }
    }

    /// <summary>Fields one after the other in somebody else's bytes.</summary>
    public unsafe struct ByteReader
    {
        // Of a .NET string's length: 7 bits each of an int32.
        const int StringLengthBytes = 5;

        readonly byte[] bytes;
        readonly int end;
        int at;

        public ByteReader(byte[] bytes, int offset, int count)
        {
            if (bytes == null) throw new ArgumentNullException("bytes");
            if (offset < 0 || count < 0 || offset > bytes.Length - count)
                throw new ArgumentOutOfRangeException("count",
                    "the range lies outside of the bytes");
            this.bytes = bytes;
            at = offset;
            end = offset + count;
        }

        public int At { get { return at; } }
        public int Left { get { return end - at; } }

        /// <summary>Passes over `count` bytes and returns where they begin.</summary>
        public int Skip(int count, string field)
        {
            if (count < 0 || count > end - at)
                throw new ProtocolException(field + ": " + count + " bytes wanted, " + (end - at)
                    + " are left");
            int begin = at;
            at += count;
            return begin;
        }

        public byte U8(string field) { return bytes[Skip(1, field)]; }
        public ushort U16(string field) { fixed (byte* p = &bytes[Skip(2,
            field)]) return *(ushort*)p; }
        public int I32(string field) { fixed (byte* p = &bytes[Skip(4, field)]) return *(int*)p; }
        public uint U32(string field) { fixed (byte* p = &bytes[Skip(4, field)]) return *(uint*)p; }
        public ulong U64(string field) { fixed (byte* p = &bytes[Skip(8,
            field)]) return *(ulong*)p; }
        public float F32(string field) { fixed (byte* p = &bytes[Skip(4,
            field)]) return *(float*)p; }
        public double F64(string field) { fixed (byte* p = &bytes[Skip(8,
            field)]) return *(double*)p; }

        public Point3 Point(string field)
        {
            return new Point3(F32(field), F32(field), F32(field));
        }

        /// <summary>What BinaryWriter.Write(string) writes. Bytes that are no UTF-8 become
        /// U+FFFD.</summary>
        public string String(string field)
        {
            ulong size = 0;
            for (int i = 0; i < StringLengthBytes; ++i)
            {
                byte group = U8(field);
                size |= (ulong)(group & 0x7F) << (7 * i);
                if ((group & 0x80) == 0)
                {
                    if (size > (ulong)Left)
                        throw new ProtocolException(field + ": " + size + " bytes of text wanted, "
                            + Left + " are left");
                    return Encoding.UTF8.GetString(bytes, Skip((int)size, field), (int)size);
                }
            }
            throw new ProtocolException(field + ": a length of more than " + StringLengthBytes
                + " bytes");
        }

        /// <summary>A text of fixed room, up to its first zero.</summary>
        public string FixedText(int room, string field)
        {
            int begin = Skip(room, field), size = 0;
            while (size < room && bytes[begin + size] != 0) ++size;
            return size == 0 ? "" : Encoding.UTF8.GetString(bytes, begin, size);
        }
    }

    /// <summary>Fields one after the other in memory of its own: Bytes[0 .. Count).</summary>
    public sealed unsafe class ByteWriter
    {
        byte[] bytes;
        int count;

        public ByteWriter(int room) { bytes = new byte[Math.Max(room, 64)]; }

        public byte[] Bytes { get { return bytes; } }
        public int Count { get { return count; } }

        public void Clear() { count = 0; }

        /// <summary>Room for `size` bytes that are written elsewhere; where they begin.</summary>
        public int Skip(int size)
        {
            if (size < 0) throw new ArgumentOutOfRangeException("size");
            if (size > bytes.Length - count)
                Array.Resize(ref bytes, Math.Max(checked(count + size), checked(bytes.Length * 2)));
            int begin = count;
            count += size;
            return begin;
        }

        public void U8(byte value) { int at = Skip(1); bytes[at] = value; }
        public void U8(bool value) { U8(value ? (byte)1 : (byte)0); }
        public void U16(ushort value) { int at = Skip(2); fixed (byte* p = &bytes[at]) *(ushort*)p = value; }
        public void I32(int value) { int at = Skip(4); fixed (byte* p = &bytes[at]) *(int*)p = value; }
        public void U32(uint value) { int at = Skip(4); fixed (byte* p = &bytes[at]) *(uint*)p = value; }
        public void U64(ulong value) { int at = Skip(8); fixed (byte* p = &bytes[at]) *(ulong*)p = value; }
        public void F32(float value) { int at = Skip(4); fixed (byte* p = &bytes[at]) *(float*)p = value; }
        public void F64(double value) { int at = Skip(8); fixed (byte* p = &bytes[at]) *(double*)p = value; }

        public void Point(Point3 value)
        {
            F32(value.X);
            F32(value.Y);
            F32(value.Z);
        }

        public void Zeros(int size)
        {
            int at = Skip(size);
            Array.Clear(bytes, at, size);
        }

        public void Raw(byte[] from, int offset, int size)
        {
            int at = Skip(size);
            Buffer.BlockCopy(from, offset, bytes, at, size);
        }

        /// <summary>A number that is known only now, at a place that was skipped.</summary>
        public void PatchI32(int at, int value) { fixed (byte* p = &bytes[at]) *(int*)p = value; }

        /// <summary>As BinaryWriter.Write(string); at most `most` bytes of text, no character
        /// cut.</summary>
        public void String(string text, int most)
        {
            text = Texts.Cut(text, most);
            int size = Encoding.UTF8.GetByteCount(text);
            for (uint left = (uint)size; ; left >>= 7)
            {
                U8((byte)(left < 0x80 ? left : left | 0x80));
                if (left < 0x80) break;
            }
            int at = Skip(size);
            if (size > 0) Encoding.UTF8.GetBytes(text, 0, text.Length, bytes, at);
        }

        /// <summary>A text in fixed room: at most room - 1 bytes, then zeros.</summary>
        public void FixedText(string text, int room)
        {
            text = Texts.Cut(text, room - 1);
            int at = Skip(room);
            Array.Clear(bytes, at, room);
            if (text.Length > 0) Encoding.UTF8.GetBytes(text, 0, text.Length, bytes, at);
        }
    }

    /// <summary>Texts of the wire.</summary>
    public static class Texts
    {
        /// <summary>What a record keeps of a text: up to its first zero, and at most `most`
        /// bytes.</summary>
        public static string Kept(string text, int most)
        {
            int zero = text.IndexOf('\0');
            return Cut(zero < 0 ? text : text.Substring(0, zero), most);
        }

        /// <summary>The longest beginning of `text` that is at most `most` bytes of
        /// UTF-8.</summary>
        public static string Cut(string text, int most)
        {
            if (string.IsNullOrEmpty(text)) return "";
            if (text.Length * 3 <= most) return text;
            int bytes = 0;
            for (int i = 0; i < text.Length; ++i)
            {
                char c = text[i];
                bool pair = char.IsHighSurrogate(c) && i + 1 < text.Length
                    && char.IsLowSurrogate(text[i + 1]);
                // What is no character is written as U+FFFD, of three bytes.
                bytes += pair ? 4 : c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
                if (bytes > most) return text.Substring(0, i);
                if (pair) ++i;
            }
            return text;
        }
    }
}
