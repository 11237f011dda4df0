// SharedFile: a file that several processes map at once, and pointers into it. Knows files and
// mappings on Linux, Windows and Wine; no layout.
using System;
using System.IO;
using System.IO.MemoryMappedFiles;

namespace Metabonk.Core
{
    public sealed unsafe class SharedFile : IDisposable
    {
        readonly FileStream file;
        readonly MemoryMappedFile mapping;
        readonly MemoryMappedViewAccessor view;
        byte* data;

        SharedFile(FileStream file)
        {
            this.file = file;
            Bytes = file.Length;
            try
            {
                mapping = MemoryMappedFile.CreateFromFile(file, null, Bytes,
                    MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, true);
                view = mapping.CreateViewAccessor(0, Bytes, MemoryMappedFileAccess.ReadWrite);
                view.SafeMemoryMappedViewHandle.AcquirePointer(ref data);
                data += view.PointerOffset;
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        /// <summary>The folder of shared memory here; Wine shows the host's under Z:.</summary>
        public static string DefaultFolder
        {
            get
            {
                foreach (string folder in new[] { "/dev/shm", @"Z:\dev\shm" })
                    if (Directory.Exists(folder)) return folder;
                return Path.GetTempPath();
            }
        }

        /// <summary>A new file of zeros, whose memory is taken at once: writing there cannot fail
        /// later. IOException if it exists or there is no room, FileNotFoundException if it is
        /// taken away meanwhile.</summary>
        public static SharedFile Create(string path, long bytes)
        {
            var file = new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite,
                FileShare.ReadWrite | FileShare.Delete);
            try
            {
                OwnerOnly.Apply(path);
                var zeros = new byte[1 << 16];
                for (long left = bytes; left > 0; left -= zeros.Length)
                    file.Write(zeros, 0, (int)Math.Min(left, zeros.Length));
                file.Flush();
                return new SharedFile(file);
            }
            catch
            {
                file.Dispose();
                File.Delete(path);
                throw;
            }
        }

        /// <summary>An existing file of at least `least` bytes, without rights for others from now
        /// on. FileNotFoundException if there is none, IOException if it is shorter, a symbolic
        /// link, no plain file or another user's, as far as the system tells.</summary>
        public static SharedFile Open(string path, long least)
        {
            FileStream file = Find(path, FileAccess.ReadWrite);
            if (file.Length < least)
            {
                long length = file.Length;
                file.Dispose();
                throw new IOException(path + ": " + length + " bytes, at least " + least
                    + " are wanted: remove it, or choose another name");
            }
            return new SharedFile(file);
        }

        /// <summary>The first bytes of a file that Open would take, fewer where it has no more. They
        /// are read, not mapped: a file that is cut short meanwhile is no fault of memory.</summary>
        public static byte[] Beginning(string path, int bytes)
        {
            using (FileStream file = Find(path, FileAccess.Read))
            {
                var read = new byte[bytes];
                int count = 0, more;
                while (count < bytes && (more = file.Read(read, count, bytes - count)) > 0)
                    count += more;
                Array.Resize(ref read, count);
                return read;
            }
        }

        // Looked at before, because to open a pipe or a device does something to it already, and
        // after, because another file may have taken the name in between.
        static FileStream Find(string path, FileAccess access)
        {
            FileIdentity? named = FileIdentity.Of(path);
            if (named.HasValue && named.Value.Refusal.Length > 0)
                throw new IOException(path + ": " + named.Value.Refusal);
            var file = new FileStream(path, FileMode.Open, access,
                FileShare.ReadWrite | FileShare.Delete);
            FileIdentity? opened = FileIdentity.Of(file);
            if (!opened.HasValue) return file;
            if (!named.HasValue || !named.Value.Is(opened.Value))
            {
                file.Dispose();
                throw new IOException(path + ": another file took this name just now: try again");
            }
            if (opened.Value.OpenToOthers) OwnerOnly.Apply(file);
            return file;
        }

        public long Bytes { get; private set; }

        /// <summary>Whether another process holds the lock on a byte; null where that cannot be
        /// seen.</summary>
        public bool? Locked(long at) { return FileLocks.Held(file, at); }

        /// <summary>Null after Dispose: whoever keeps pointers keeps this open.</summary>
        public byte* Data { get { return data; } }

        public void Dispose()
        {
            if (data != null)
            {
                data = null;
                view.SafeMemoryMappedViewHandle.ReleasePointer();
            }
            if (view != null) view.Dispose();
            if (mapping != null) mapping.Dispose();
            file.Dispose();
        }
    }

    /// <summary>Takes everybody else's rights to a file away, where the system knows such rights by
    /// mode; under Windows a file in the user's own folders has them by inheritance.</summary>
    static class OwnerOnly
    {
        [System.Runtime.InteropServices.DllImport("libc", SetLastError = true,
            EntryPoint = "chmod")]
        static extern int ChangeMode(byte[] path, uint mode);

        [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "fchmod")]
        static extern int ChangeModeOf(int file, uint mode);

        const uint Mode = 0x180;  // rw-------

        /// <summary>Of a file that is open, whatever its name is by now. One that keeps its rights all
        /// the same can be used as well.</summary>
        public static void Apply(FileStream file)
        {
            if (Path.DirectorySeparatorChar != '/') return;
            ChangeModeOf(file.SafeFileHandle.DangerousGetHandle().ToInt32(), Mode);
        }

        public static void Apply(string path)
        {
            if (Path.DirectorySeparatorChar != '/') return;
            if (ChangeMode(System.Text.Encoding.UTF8.GetBytes(path + "\0"), Mode) == 0) return;
            if (!File.Exists(path))
                throw new FileNotFoundException(path + ": it is gone", path);
            throw new IOException(path + ": its mode cannot be set to the owner's only");
        }
    }
}
