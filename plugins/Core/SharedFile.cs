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

        /// <summary>An existing file of at least `least` bytes.</summary>
        public static SharedFile Open(string path, long least)
        {
            var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite,
                FileShare.ReadWrite | FileShare.Delete);
            if (file.Length < least)
            {
                long length = file.Length;
                file.Dispose();
                throw new IOException(path + ": " + length + " bytes, at least " + least
                    + " are wanted");
            }
            return new SharedFile(file);
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

        public static void Apply(string path)
        {
            if (Path.DirectorySeparatorChar != '/') return;
            const uint mode = 0x180;  // rw-------
            if (ChangeMode(System.Text.Encoding.UTF8.GetBytes(path + "\0"), mode) == 0) return;
            if (!File.Exists(path))
                throw new FileNotFoundException(path + ": it is gone", path);
            throw new IOException(path + ": its mode cannot be set to the owner's only");
        }
    }
}
