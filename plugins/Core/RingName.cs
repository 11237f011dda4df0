// RingName: whose ring lies under a name, and when a writer may take it away: a dead one's when it
// begins, its own when it ends, another living one's never. Knows a ring's header; no frames.
//
// Files are told apart by their sessions, which every system shows. Between the last look and the
// removal lies an instant in which a name can change: nothing that a file system offers is closer.
using System;
using System.IO;
using System.Threading;

namespace Metabonk.Core
{
    sealed unsafe class RingName
    {
        const int SessionAt = 16, SessionEnd = 24;

        readonly string path;

        public RingName(string path) { this.path = path; }

        /// <summary>Of the ring that has the name now; 0 for what is no ring, null for
        /// nothing.</summary>
        public ulong? Session()
        {
            try
            {
                byte[] header = SharedFile.Beginning(path, SessionEnd);
                bool ring = header.Length == SessionEnd
                    && BitConverter.ToUInt64(header, 0) == Ring.Magic;
                return ring ? BitConverter.ToUInt64(header, SessionAt) : 0;
            }
            catch (Exception error) when (error is FileNotFoundException
                || error is DirectoryNotFoundException)
            {
                return null;
            }
            catch (Exception error) when (error is IOException
                || error is UnauthorizedAccessException)
            {
                return 0;
            }
        }

        /// <summary>Whether something else than the ring of that session has the name.</summary>
        public bool TakenFrom(ulong session)
        {
            ulong? now = Session();
            return now.HasValue && now != session;
        }

        public IOException Taken(Exception cause = null)
        {
            return new IOException(path
                + ": another writer has this ring: end it, or choose another name", cause);
        }

        /// <summary>Removes the name if it still is that session's.</summary>
        public void Remove(ulong session)
        {
            if (Session() == session) File.Delete(path);
        }

        /// <summary>Removes what a dead writer left. IOException if a living one has the name, or
        /// what no ring can be. Waits for a second at most, to see who lives.</summary>
        public void Clear()
        {
            SharedFile old;
            try
            {
                old = SharedFile.Open(path, sizeof(RingHeader));
            }
            catch (FileNotFoundException)
            {
                return;
            }
            ulong session = 0;
            using (old)
            {
                var header = (RingHeader*)old.Data;
                if (!Ready(header)) Thread.Sleep(Ring.BeatTimeoutMs);  // perhaps it is being made
                if (Ready(header))
                {
                    if (Volatile.Read(ref header->State) == (int)Ring.Open && Lives(old))
                        throw Taken();
                    session = header->Session;
                    Interlocked.CompareExchange(ref header->State, (int)Ring.Reclaimed,
                        (int)Ring.Open);
                }
            }
            Remove(session);  // unless another writer that begins was quicker
        }

        static bool Ready(RingHeader* header)
        {
            return (ulong)Volatile.Read(ref *(long*)&header->Magic) == Ring.Magic;
        }

        // By its lock, if it says that it holds one and that can be seen; else by its heartbeat.
        static bool Lives(SharedFile ring)
        {
            var header = (RingHeader*)ring.Data;
            bool? locked = (header->Flags & Ring.WriterLocks) != 0 ? ring.Locked(0) : null;
            if (locked.HasValue) return locked.Value;
            long before = Volatile.Read(ref header->Beat), began = Clock.Now;
            while (Clock.Now - began < Ring.BeatGraceMs * 1000000L)
            {
                Thread.Sleep(Ring.BeatPeriodMs);
                if (Volatile.Read(ref header->Beat) != before) return true;
            }
            return false;
        }
    }
}
