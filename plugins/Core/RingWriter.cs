// RingWriter: the one side that puts frames into a ring (RingLayout). Never waits for a reader.
//
// A frame that is read is pinned by a lease, and there are more slots than leases, so that the
// writer always finds a slot that nobody holds. Both sides announce before they look: the writer
// makes the slot's sequence odd and then looks at every lease, a reader pins the slot and then
// looks at its sequence. At least one of two that meet sees the other and steps back.
//
// Takes no file locks and wakes nobody (a game under Wine can do neither): readers poll, and know
// by the heartbeat that this side lives. It looks at others' locks where it can: who is silent and
// holds one was stopped, and is not dead.
using System;
using System.IO;
using System.Threading;

namespace Metabonk.Core
{
    public struct RingCounts
    {
        public long Frames, Renewed, ReadersLost;
        public int Readers;
    }

    public sealed unsafe class RingWriter : IDisposable
    {
        const int Hot = 3, BeatsPerLook = 16;

        readonly string path, name;
        readonly RingName named;
        readonly int readers, leases;
        readonly object gate = new object();  // between the heart and a change of the file
        readonly Action<long> beat;
        readonly Pulse[] pulses = new Pulse[Ring.ReadersMax];
        readonly int[] tokens = new int[Ring.ReadersMax];
        readonly long[] written = new long[Ring.SlotsMax];  // number of the frame in each slot
        readonly bool[] refused = new bool[Ring.SlotsMax];
        SharedFile file;
        RingWords words;
        int claimed = -1, newest = -1;
        long number, beats, claimedBytes;
        ulong session;  // of the file, or of the last one
        bool lost, disposed;
        RingCounts counts = new RingCounts();

        /// <summary>folder: null for the system's. IOException if a living writer has the name or
        /// there is no room, ArgumentException for an impossible name.</summary>
        public RingWriter(string folder, string name, long frameBytes, int readers = 6,
            int leases = 2)
        {
            path = Ring.PathOf(folder, name);
            this.name = name;
            named = new RingName(path);
            this.readers = readers;
            this.leases = leases;
            UnfinishedFile.Clear(Beside(path));
            named.Clear();
            Renew(frameBytes);
            beat = Beat;
            Heart.Start(beat);
        }

        public string Name { get { return name; } }
        public string FilePath { get { return path; } }
        public RingCounts Counts { get { lock (gate) return counts; } }
        public long FrameBytes { get { return words.Geometry.PixelsStride; } }

        void Renew(long frameBytes)
        {
            RingGeometry geometry = RingGeometry.Make(readers, leases, frameBytes);
            ulong fresh = NewSession();
            SharedFile next;
            try
            {
                next = UnfinishedFile.Make(Beside(path), path, geometry.TotalBytes,
                    made => Fill(new RingWords(made.Data, geometry), fresh), RetireReplaced);
            }
            catch (IOException error) when (named.TakenFrom(session))
            {
                throw named.Taken(error);
            }
            lock (gate)
            {
                file = next;
                session = fresh;
                words = new RingWords(next.Data, geometry);
                claimed = newest = -1;
                number = 0;
                lost = false;
                Array.Clear(written, 0, written.Length);
                Array.Clear(tokens, 0, tokens.Length);
            }
        }

        // Unfinished ones have a dot before their names, so that nobody takes them for rings.
        static string Beside(string path)
        {
            return Path.Combine(Path.GetDirectoryName(path), "." + Path.GetFileName(path));
        }

        void RetireReplaced()
        {
            lock (gate)
            {
                if (file != null) Retire(Ring.Replaced);
            }
        }

        void Fill(RingWords made, ulong fresh)
        {
            RingHeader* header = made.Header;
            header->Version = Ring.Version;
            header->HeaderBytes = 256;
            header->Session = fresh;
            header->TotalBytes = (ulong)made.Geometry.TotalBytes;
            header->SlotCount = (uint)made.Geometry.Slots;
            header->ReaderCount = (uint)made.Geometry.Readers;
            header->LeaseCount = (uint)made.Geometry.Leases;
            header->PixelsOffset = (ulong)made.Geometry.PixelsOffset;
            header->PixelsStride = (ulong)made.Geometry.PixelsStride;
            header->State = (int)Ring.Open;
            header->Beat = ++beats;
            Volatile.Write(ref *(long*)&header->Magic, unchecked((long)Ring.Magic));
        }

        static ulong NewSession()
        {
            ulong session = BitConverter.ToUInt64(Guid.NewGuid().ToByteArray(), 0);
            return session == 0 ? 1 : session;
        }

        // Under gate. One that was stopped for long may find another writer's ring under its name.
        void Retire(uint state)
        {
            Volatile.Write(ref words.Header->State, (int)state);
            Interlocked.Exchange(ref words.Header->Doorbell, (int)((number & 0x7FFFFFFF) << 1));
            file.Dispose();
            file = null;
            named.Remove(session);
        }

        /// <summary>Memory for the next frame of `bytes` bytes, all of which is to be written. A
        /// second Begin gives up the first. One thread calls Begin and Commit. IOException if a
        /// larger ring finds no room, or while another writer has the name.</summary>
        public byte* Begin(long bytes)
        {
            if (disposed) throw new ObjectDisposedException(path);
            if (bytes < 1 || bytes > Ring.BytesMax)
                throw new ArgumentOutOfRangeException("bytes", bytes, "1..2^30 is wanted");
            Abandon();
            bool renew;
            lock (gate) renew = lost || file == null;
            // Asked before a file is made, which takes long: the next frame will ask again.
            if (renew && named.TakenFrom(session)) throw named.Taken();
            if (bytes > FrameBytes || renew)
            {
                // Half as much again, so that pictures whose size varies do not renew it every
                // time.
                long wanted = bytes > FrameBytes ? Math.Min(Ring.BytesMax,
                    Math.Max(bytes, FrameBytes + FrameBytes / 2)) : FrameBytes;
                Renew(wanted);
                lock (gate) ++counts.Renewed;
            }
            claimed = Claim();
            if (claimed < 0)
                throw new IOException(path
                    + ": more slots are held than there are leases; the ring is damaged");
            claimedBytes = bytes;
            return words.Pixels(claimed);
        }

        /// <summary>Publishes the begun frame. rowStride: 0 for formats without rows.</summary>
        public void Commit(uint format, RowOrder order, int width, int height, int channels,
            int rowStride, ulong step, long captureNs)
        {
            if (claimed < 0)
                throw new InvalidOperationException("no frame was begun: call Begin first");
            RingSlot* slot = words.Slot(claimed);
            slot->Step = step;
            slot->CaptureNs = (ulong)captureNs;
            slot->Bytes = (ulong)claimedBytes;
            slot->Width = (uint)width;
            slot->Height = (uint)height;
            slot->Channels = (uint)channels;
            slot->RowStride = (uint)rowStride;
            slot->Format = format;
            slot->RowOrder = (uint)order;
            newest = claimed;
            claimed = -1;
            written[newest] = ++number;
            Volatile.Write(ref slot->Sequence, 2 * number);
            Volatile.Write(ref words.Header->Newest, number << 8 | (uint)newest);
            Interlocked.Exchange(ref words.Header->Doorbell, (int)((number & 0x7FFFFFFF) << 1));
            lock (gate) ++counts.Frames;
        }

        /// <summary>A raw picture, or a JPEG, as it is.</summary>
        public void Write(Frame frame)
        {
            byte* to = Begin(frame.Bytes);
            fixed (byte* from = frame.Pixels) Buffer.MemoryCopy(from, to, frame.Bytes, frame.Bytes);
            bool jpeg = frame.Format == PixelFormat.Jpeg;
            uint format = jpeg ? Ring.Jpeg : frame.Format == PixelFormat.Rgba ? Ring.Rgba8
                : Ring.Rgb8;
            Commit(format, frame.RowOrder, frame.Width, frame.Height, jpeg ? 3 : frame.Channels,
                jpeg ? 0 : frame.Stride, frame.Step, frame.CaptureNs);
        }

        // A slot that nobody reads, whose bytes may be changed from now on; -1 if there is none.
        int Claim()
        {
            RingGeometry geometry = words.Geometry;
            Array.Clear(refused, 0, refused.Length);
            for (int reader = 0; reader < geometry.Readers; ++reader)
            {
                for (int lease = 0; lease < geometry.Leases; ++lease)
                {
                    uint held = (uint)*words.Lease(reader, lease);  // a hint only
                    if (held != 0 && held <= (uint)geometry.Slots) refused[held - 1] = true;
                }
            }
            for (int tries = 0; tries < geometry.Slots; ++tries)
            {
                int slot = Oldest();
                if (slot < 0) return -1;
                Interlocked.Exchange(ref words.Slot(slot)->Sequence, 2 * (number + 1) + 1);
                Thread.MemoryBarrier();  // announced before looked
                if (!Held(slot)) return slot;
                Volatile.Write(ref words.Slot(slot)->Sequence, 2 * written[slot]);
                refused[slot] = true;
            }
            return -1;
        }

        // Few slots are in use, so that they stay in cache; among those the oldest frame goes
        // first.
        int Oldest()
        {
            int best = -1, seen = 0;
            for (int slot = 0; slot < words.Geometry.Slots && seen < Hot; ++slot)
            {
                if (slot == newest || refused[slot]) continue;
                ++seen;
                if (best < 0 || written[slot] < written[best]) best = slot;
            }
            return best;
        }

        bool Held(int slot)
        {
            for (int reader = 0; reader < words.Geometry.Readers; ++reader)
                for (int lease = 0; lease < words.Geometry.Leases; ++lease)
                    if ((uint)Volatile.Read(ref *words.Lease(reader, lease)) == (uint)slot + 1)
                        return true;
            return false;
        }

        /// <summary>Gives the begun frame up; harmless without one.</summary>
        public void Abandon()
        {
            if (claimed < 0) return;
            written[claimed] = 0;
            Volatile.Write(ref words.Slot(claimed)->Sequence, 0);
            claimed = -1;
        }

        // The heart's thread.
        void Beat(long now)
        {
            lock (gate)
            {
                if (file == null) return;
                Volatile.Write(ref words.Header->Beat, ++beats);
                counts.Readers = 0;
                for (int i = 0; i < words.Geometry.Readers; ++i) Look(i, now);
                bool open = Volatile.Read(ref words.Header->State) == (int)Ring.Open;
                bool look = beats % BeatsPerLook == 0;
                if (!open || look && named.Session() != session) lost = true;
            }
        }

        void Look(int index, long now)
        {
            RingReaderEntry* reader = words.Reader(index);
            int token = Volatile.Read(ref reader->Token);
            if (token != tokens[index])
            {
                tokens[index] = token;
                pulses[index] = new Pulse();
            }
            if ((token & 1) == 0) return;
            long still = pulses[index].Still(Volatile.Read(ref reader->Beat), now);
            if (still < Ring.BeatTimeoutMs * 1000000L)
            {
                ++counts.Readers;
                return;
            }
            bool locks = ((uint)Volatile.Read(ref reader->Flags) & Ring.ReaderLocks) != 0;
            bool? locked = locks ? file.Locked(1 + index) : null;
            bool dead = locked.HasValue ? !locked.Value : still >= Ring.BeatGraceMs * 1000000L;
            if (dead && RingReader.Evict(words, index, (uint)token)) ++counts.ReadersLost;
        }

        public void Dispose()
        {
            if (disposed) return;
            disposed = true;
            Heart.Stop(beat);
            lock (gate)
            {
                if (file != null) Retire(Ring.Closed);
            }
        }
    }
}
