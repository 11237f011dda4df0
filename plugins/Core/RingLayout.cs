// The frame ring in memory: csrc/include/metabonk/frame_ring.h in C#. A test compares every offset.
// Knows bytes and offsets; RingWriter and RingReader know what is done to them in which order.
using System;
using System.IO;
using System.Runtime.InteropServices;

namespace Metabonk.Core
{
    public static class Ring
    {
        public const ulong Magic = 0x32474E49524B424DUL;
        public const uint Version = 2;
        public const string Prefix = "metabonk-ring-";
        public const int NameMax = 64, Page = 4096, SlotsMax = 128, ReadersMax = 16, LeasesMax = 6,
            SideMax = 16384;
        public const long BytesMax = 0x40000000;
        public const int BeatPeriodMs = 10, BeatTimeoutMs = 60;

        /// <summary>Who shows by no lock that it lives, or by one that cannot be seen from here, is
        /// taken for dead only after this.</summary>
        public const int BeatGraceMs = 1000;

        public const uint WriterLocks = 2, ReaderLocks = 1;  // flags of those who hold a lock

        public const uint Open = 1, Closed = 2, Replaced = 3, Reclaimed = 4;  // states
        public const uint Rgb8 = 1, Rgba8 = 2, Bgra8 = 3, Grey8 = 4, Jpeg = 16, Raw = 17;  // formats

        /// <summary>ArgumentException for a name that no ring can have.</summary>
        public static string PathOf(string folder, string name)
        {
            bool fine = name.Length > 0 && name.Length <= NameMax && Letter(name[0]);
            foreach (char c in name) fine = fine && (Letter(c) || c == '.' || c == '_' || c == '-');
            if (!fine)
                throw new ArgumentException("name: '" + name
                    + "' must be 1..64 of letters, digits, '.', '_' and '-', beginning with one of the former");
            return Path.Combine(string.IsNullOrEmpty(folder) ? SharedFile.DefaultFolder : folder,
                Prefix + name);
        }

        static bool Letter(char c) { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
            || c >= '0' && c <= '9'; }

        public static ulong LeaseOf(uint token) { return (ulong)token << 32; }
        public static ulong LeaseOf(uint token, uint slot) { return LeaseOf(token) | slot + 1; }
    }

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    public struct RingHeader
    {
        [FieldOffset(0)] public ulong Magic;
        [FieldOffset(8)] public uint Version;
        [FieldOffset(12)] public uint HeaderBytes;
        [FieldOffset(16)] public ulong Session;
        [FieldOffset(24)] public ulong TotalBytes;
        [FieldOffset(32)] public uint SlotCount;
        [FieldOffset(36)] public uint ReaderCount;
        [FieldOffset(40)] public uint LeaseCount;
        [FieldOffset(44)] public uint Flags;
        [FieldOffset(48)] public ulong PixelsOffset;
        [FieldOffset(56)] public ulong PixelsStride;
        [FieldOffset(64)] public long Newest;
        [FieldOffset(72)] public int Doorbell;
        [FieldOffset(76)] public int State;
        [FieldOffset(80)] public long Coming;
        [FieldOffset(88)] public int Sleeper;
        [FieldOffset(128)] public long Beat;
    }

    [StructLayout(LayoutKind.Explicit, Size = 64)]
    public struct RingReaderEntry
    {
        [FieldOffset(0)] public int Token;
        [FieldOffset(4)] public int Flags;
        [FieldOffset(8)] public long Beat;
        [FieldOffset(16)] public long Leases;  // the first of LeasesMax
    }

    [StructLayout(LayoutKind.Explicit, Size = 128)]
    public struct RingSlot
    {
        [FieldOffset(0)] public long Sequence;
        [FieldOffset(8)] public ulong Step;
        [FieldOffset(16)] public ulong CaptureNs;
        [FieldOffset(24)] public ulong Bytes;
        [FieldOffset(32)] public uint Width;
        [FieldOffset(36)] public uint Height;
        [FieldOffset(40)] public uint Channels;
        [FieldOffset(44)] public uint RowStride;
        [FieldOffset(48)] public uint Format;
        [FieldOffset(52)] public uint RowOrder;
    }

    /// <summary>Where the parts of a ring lie; kept by each client for itself, because what lies in
    /// shared memory is looked at once and then believed no more.</summary>
    public struct RingGeometry
    {
        public int Slots, Readers, Leases;
        public long PixelsOffset, PixelsStride, TotalBytes;

        public long SlotsOffset { get { return 256 + Readers * 64L; } }

        static long Pages(long bytes) { return (bytes + Ring.Page - 1) / Ring.Page * Ring.Page; }

        public static RingGeometry Make(int readers, int leases, long frameBytes)
        {
            if (readers < 1 || readers > Ring.ReadersMax)
                throw new ArgumentOutOfRangeException("readers", readers, "1..16 is wanted");
            if (leases < 1 || leases > Ring.LeasesMax)
                throw new ArgumentOutOfRangeException("leases", leases, "1..6 is wanted");
            if (frameBytes < 1 || frameBytes > Ring.BytesMax)
                throw new ArgumentOutOfRangeException("frameBytes", frameBytes,
                    "1..2^30 is wanted");
            var made = new RingGeometry { Slots = 3 + readers * leases, Readers = readers,
                Leases = leases };
            made.PixelsOffset = Pages(made.SlotsOffset + made.Slots * 128L);
            made.PixelsStride = Pages(frameBytes);
            made.TotalBytes = made.PixelsOffset + made.Slots * made.PixelsStride;
            return made;
        }

        /// <summary>Of a ring that lies in a file; IOException if it is not as its header
        /// says.</summary>
        public static unsafe RingGeometry Read(RingHeader* header, long fileBytes)
        {
            if ((ulong)System.Threading.Volatile.Read(ref *(long*)&header->Magic) != Ring.Magic)
                throw new IOException("this is no frame ring, or it is not ready yet");
            if (header->Version != Ring.Version || header->HeaderBytes != 256)
                throw new IOException("the ring has another version: update one side");
            uint slots = header->SlotCount, readers = header->ReaderCount, leases =
                header->LeaseCount;
            ulong offset = header->PixelsOffset, stride = header->PixelsStride, total =
                header->TotalBytes;
            bool fine = readers >= 1 && readers <= Ring.ReadersMax && leases >= 1
                && leases <= Ring.LeasesMax
                && slots >= 3 + readers * leases && slots <= Ring.SlotsMax && header->Session != 0
                && stride >= Ring.Page && stride % Ring.Page == 0 && stride <= (ulong)Ring.BytesMax
                && offset % Ring.Page == 0 && offset >= 256 + readers * 64 + slots * 128UL
                    && offset <= (ulong)fileBytes
                && total == offset + slots * stride && total <= (ulong)fileBytes;
            if (!fine) throw new IOException("the ring's header is damaged");
            return new RingGeometry { Slots = (int)slots, Readers = (int)readers,
                Leases = (int)leases, PixelsOffset = (long)offset, PixelsStride = (long)stride,
                TotalBytes = (long)total };
        }
    }

    /// <summary>Pointers into a mapped ring.</summary>
    public unsafe struct RingWords
    {
        readonly byte* data;
        readonly long slots;
        public readonly RingGeometry Geometry;

        public RingWords(byte* data, RingGeometry geometry)
        {
            this.data = data;
            Geometry = geometry;
            slots = geometry.SlotsOffset;
        }

        public RingHeader* Header { get { return (RingHeader*)data; } }
        public RingReaderEntry* Reader(int index) { return (RingReaderEntry*)(data + 256) + index; }
        public RingSlot* Slot(int index) { return (RingSlot*)(data + slots) + index; }
        public long* Lease(int reader, int lease) { return &Reader(reader)->Leases + lease; }
        public byte* Pixels(int slot) { return data + Geometry.PixelsOffset
            + slot * Geometry.PixelsStride; }
    }
}
