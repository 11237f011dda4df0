// UnfinishedFile: a shared file that is whole as soon as anybody finds it: it is made beside its
// name, under one that nobody else uses, and then moved there. Takes away what makers left who were
// killed on the way. Knows names and ages of files; nothing of what is in them.
//
// Who makes one holds no lock (a game under Wine has none), so that only silence tells that it is
// dead. One that was stopped for as long and goes on finds its file gone, and makes another: what it
// moves is its own or nothing.
using System;
using System.IO;
using System.Threading;

namespace Metabonk.Core
{
    static class UnfinishedFile
    {
        const string End = ".partial";
        const int Letters = 16, Tries = 4;

        /// <summary>A file of `bytes` zeros, then filled, under the name `path`. beside: what the
        /// names of unfinished ones begin with, path and all. clear: takes away what has the name.
        /// IOException if there is no room or the name is taken again.</summary>
        public static SharedFile Make(string beside, string path, long bytes,
            Action<SharedFile> fill, Action clear)
        {
            for (int tries = 1; ; ++tries)
            {
                string partial = beside + "." + Guid.NewGuid().ToString("N").Substring(0, Letters)
                    + End;
                SharedFile made = null;
                try
                {
                    made = SharedFile.Create(partial, bytes);
                    fill(made);
                    clear();
                    File.Move(partial, path);
                    return made;
                }
                catch (FileNotFoundException) when (tries < Tries)
                {
                    if (made != null) made.Dispose();  // it was swept: see above
                }
                catch
                {
                    if (made != null) made.Dispose();
                    File.Delete(partial);
                    throw;
                }
            }
        }

        /// <summary>Takes away what dead makers left. Waits for a second at most, where one may be
        /// dead and was alive just now.</summary>
        public static void Clear(string beside)
        {
            long until = Clock.Now + Ring.BeatGraceMs * 1000000L;
            string folder = Path.GetDirectoryName(Path.GetFullPath(beside));
            foreach (string left in Directory.GetFiles(folder))
            {
                if (!Named(Path.GetFileName(left), Path.GetFileName(beside))) continue;
                try
                {
                    while (Silent(left) <= Ring.BeatGraceMs && Clock.Now <= until)
                        Thread.Sleep(Ring.BeatPeriodMs);
                    if (Silent(left) > Ring.BeatGraceMs) File.Delete(left);
                }
                catch (Exception error) when (error is IOException
                    || error is UnauthorizedAccessException)
                {
                    // Another user's, or one that cannot be removed while it is open: it is in
                    // nobody's way.
                }
            }
        }

        // With the letters, or without as plugins of before named them. A name may have dots of its
        // own, so that the letters are counted.
        static bool Named(string name, string beside)
        {
            if (!name.StartsWith(beside, StringComparison.Ordinal)
                || !name.EndsWith(End, StringComparison.Ordinal))
                return false;
            int between = name.Length - beside.Length - End.Length;
            if (between == 0) return true;
            if (between != 1 + Letters || name[beside.Length] != '.') return false;
            for (int i = beside.Length + 1; i <= beside.Length + Letters; ++i)
                if ("0123456789abcdef".IndexOf(name[i]) < 0) return false;
            return true;
        }

        // For how many milliseconds nobody has written to it. Of one that has got its name meanwhile
        // for centuries, and to delete what is not there does nothing.
        static double Silent(string path)
        {
            return (DateTime.UtcNow - File.GetLastWriteTimeUtc(path)).TotalMilliseconds;
        }
    }
}
