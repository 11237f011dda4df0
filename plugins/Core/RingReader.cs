// RingReader: takes the newest frame out of a ring (RingLayout), whoever writes it. Outlives its
// writers: it finds the ring again after the game was restarted or its frames became larger. Polls;
// RingWriter says how the two sides keep out of each other's way.
using System;
using System.IO;
using System.Threading;

namespace Metabonk.Core
{
    public enum RingTake { Frame, Timeout, NoWriter }

    public sealed unsafe class RingReader : IDisposable
    {
        const int PinTries = 64;

        readonly string path;
        readonly object gate = new object();  // between the heart and attaching
        readonly Action<long> beat;
        SharedFile file;
        RingWords words;
        Pulse pulse;
        int entry = -1;
        uint token;
        long beats;
        ulong last;
        volatile bool silent;

        public RingReader(string folder, string name)
        {
            path = Ring.PathOf(folder, name);
            beat = Beat;
            Heart.Start(beat);
        }

        public ulong Session { get; private set; }
        public long Skipped { get; private set; }
        public long Attached { get; private set; }

        /// <summary>Copies the newest frame that was not handed out yet; `number` counts the
        /// session's frames.</summary>
        public RingTake Latest(int milliseconds, Frame frame, out ulong number)
        {
            long until = Clock.Now + milliseconds * 1000000L;
            var spin = new SpinWait();
            while (true)
            {
                bool attached = Attach();
                if (attached && Take(frame, out number)) return RingTake.Frame;
                number = 0;
                if (Clock.Now >= until)
                    return attached && !silent ? RingTake.Timeout : RingTake.NoWriter;
                if (attached && !spin.NextSpinWillYield) spin.SpinOnce();
                else Thread.Sleep(1);
            }
        }

        bool Attach()
        {
            if (file != null && Volatile.Read(ref words.Header->State) == (int)Ring.Open
                && Entered())
                return true;
            lock (gate)
            {
                Detach();
                SharedFile found = null;
                try
                {
                    found = SharedFile.Open(path, 256);
                    var header = (RingHeader*)found.Data;
                    RingGeometry geometry = RingGeometry.Read(header, found.Bytes);
                    if (Volatile.Read(ref header->State) != (int)Ring.Open)
                        throw new IOException("the ring is closed");
                    words = new RingWords(found.Data, geometry);
                    Enter();
                    Session = header->Session;
                    file = found;
                    pulse = new Pulse();
                    silent = false;
                    last = 0;
                    ++Attached;
                    return true;
                }
                catch (Exception error) when (error is IOException
                    || error is UnauthorizedAccessException)
                {
                    if (found != null) found.Dispose();
                    return false;  // there is none, or not yet
                }
            }
        }

        bool Entered() { return token != 0
            && (uint)Volatile.Read(ref words.Reader(entry)->Token) == token; }

        void Enter()
        {
            token = 0;
            for (int i = 0; i < words.Geometry.Readers; ++i)
            {
                int free = Volatile.Read(ref words.Reader(i)->Token);  // even: nobody's
                if ((free & 1) != 0) continue;
                if (Interlocked.CompareExchange(ref words.Reader(i)->Token, free + 1, free) != free)
                    continue;
                token = unchecked((uint)free + 1);
                entry = i;
                bool open = true;
                for (int lease = 0; lease < words.Geometry.Leases; ++lease)
                    open = open && OpenLease(words.Lease(i, lease));
                Volatile.Write(ref words.Reader(i)->Flags, 0);
                beats = Volatile.Read(ref words.Reader(i)->Beat);
                if (open && Entered()) return;
                throw new IOException("the ring's writer took the entry away");
            }
            throw new IOException("the ring's table of readers is full");
        }

        // What is in the word is the last owner's, or the next one's if we were evicted; tokens
        // rise.
        bool OpenLease(long* lease)
        {
            long word = Volatile.Read(ref *lease);
            while (unchecked((int)(token - (uint)((ulong)word >> 32))) > 0)
            {
                long seen = Interlocked.CompareExchange(ref *lease,
                    unchecked((long)Ring.LeaseOf(token)), word);
                if (seen == word) return true;
                word = seen;
            }
            return false;
        }

        bool Take(Frame frame, out ulong number)
        {
            number = 0;
            long* lease = words.Lease(entry, 0);
            long free = unchecked((long)Ring.LeaseOf(token));
            for (int i = 0; i < PinTries; ++i)
            {
                ulong newest = (ulong)Volatile.Read(ref words.Header->Newest);
                uint slot = (uint)(newest & 0xFF);
                number = newest >> 8;
                if (number <= last || slot >= (uint)words.Geometry.Slots) return false;
                long held = unchecked((long)Ring.LeaseOf(token, slot));
                if (Interlocked.CompareExchange(ref *lease, held, free) != free)
                    return false;  // evicted
                Thread.MemoryBarrier();  // announced before looked
                bool whole = Volatile.Read(ref words.Slot((int)slot)->Sequence) == 2 * (long)number
                    && Copy((int)slot, frame);
                Thread.MemoryBarrier();
                whole = whole && Volatile.Read(ref words.Slot((int)slot)->Sequence) == 2 * (long)number;
                bool kept = Interlocked.CompareExchange(ref *lease, free, held) == held;
                if (!whole || !kept) continue;
                if (last != 0) Skipped += (long)(number - last - 1);
                last = number;
                return true;
            }
            return false;
        }

        // Memory that another process writes is believed in nothing.
        bool Copy(int index, Frame frame)
        {
            RingSlot slot = *words.Slot(index);
            bool raw = slot.Format == Ring.Rgb8 || slot.Format == Ring.Rgba8, jpeg =
                slot.Format == Ring.Jpeg;
            uint channels = slot.Format == Ring.Rgba8 ? 4u : 3u;
            if (!raw && !jpeg || slot.Bytes == 0 || slot.Bytes > (ulong)words.Geometry.PixelsStride
                || slot.RowOrder > 1)
                return false;
            if (slot.Width < 1 || slot.Height < 1 || slot.Width > Ring.SideMax
                || slot.Height > Ring.SideMax)
                return false;
            if (raw && (slot.Channels != channels || slot.RowStride < slot.Width * channels
                || (ulong)slot.RowStride * slot.Height > slot.Bytes))
                return false;
            frame.Reserve((int)slot.Bytes);
            frame.Format = jpeg ? PixelFormat.Jpeg : channels == 4 ? PixelFormat.Rgba
                : PixelFormat.Rgb;
            frame.RowOrder = (RowOrder)slot.RowOrder;
            frame.Width = (int)slot.Width;
            frame.Height = (int)slot.Height;
            frame.Stride = jpeg ? 0 : (int)slot.RowStride;
            frame.CaptureNs = (long)slot.CaptureNs;
            frame.Step = slot.Step;
            fixed (byte* to = frame.Pixels) Buffer.MemoryCopy(words.Pixels(index), to, frame.Bytes,
                frame.Bytes);
            return true;
        }

        // The heart's thread.
        void Beat(long now)
        {
            lock (gate)
            {
                if (file == null) return;
                if (Entered()) Volatile.Write(ref words.Reader(entry)->Beat, ++beats);
                silent = pulse.Still(Volatile.Read(ref words.Header->Beat),
                    now) >= Ring.BeatTimeoutMs * 1000000L;
            }
        }

        /// <summary>Frees an entry, then its slots; false if it was no longer that
        /// token's.</summary>
        internal static bool Evict(RingWords words, int reader, uint token)
        {
            int next = unchecked((int)token + 1);
            if (Interlocked.CompareExchange(ref words.Reader(reader)->Token, next,
                (int)token) != (int)token)
                return false;
            for (int lease = 0; lease < words.Geometry.Leases; ++lease)
            {
                long* place = words.Lease(reader, lease);
                long word = Volatile.Read(ref *place);
                while ((uint)((ulong)word >> 32) == token)
                {
                    long seen = Interlocked.CompareExchange(ref *place, 0, word);
                    if (seen == word) break;
                    word = seen;
                }
            }
            return true;
        }

        // Under gate.
        void Detach()
        {
            if (file == null) return;
            if (token != 0) Evict(words, entry, token);
            token = 0;
            file.Dispose();
            file = null;
        }

        public void Dispose()
        {
            Heart.Stop(beat);
            lock (gate) Detach();
        }
    }
}
