// FileLocks: whether another process holds a byte of a file. The locks are those of open files
// (fcntl, F_OFD_GETLK), which the kernel drops with their process, whatever its namespace. Knows
// Linux; elsewhere, and so for a game under Wine, it cannot be seen.
using System;
using System.IO;
using System.Runtime.InteropServices;

namespace Metabonk.Core
{
    static class FileLocks
    {
        const int OfdGetLock = 36;
        const short WriteLock = 1, Unlocked = 2;

        // struct flock where long has 64 bits.
        [StructLayout(LayoutKind.Sequential)]
        struct ByteRange
        {
            public short Type, Whence;
            public long Start, Length;
            public int Process;
        }

        [DllImport("libc", SetLastError = true, EntryPoint = "fcntl")]
        static extern int Control(int file, int command, ref ByteRange range);

        /// <summary>Null where that cannot be seen.</summary>
        public static bool? Held(FileStream file, long at)
        {
            if (Path.DirectorySeparatorChar != '/' || IntPtr.Size != 8) return null;
            var range = new ByteRange { Type = WriteLock, Whence = 0, Start = at, Length = 1,
                Process = 0 };
            int descriptor = file.SafeFileHandle.DangerousGetHandle().ToInt32();
            if (Control(descriptor, OfdGetLock, ref range) != 0) return null;
            return range.Type != Unlocked;
        }
    }
}
