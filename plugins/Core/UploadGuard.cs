// UploadGuard: keeps bots off the leaderboards. Once an action has been injected, no score and no
// statistics leave this process until it ends; and nothing is injected before it is certain that
// they are kept. Knows no game; the plugin's patches ask it.
using System;
using System.Collections.Generic;

namespace Metabonk.Core
{
    public sealed class UploadGuard
    {
        readonly object gate = new object();
        readonly HashSet<string> guarded = new HashSet<string>();
        readonly Action<string> log;
        bool injected;
        long blocked;

        /// <summary>The game has one process, and so has its guard.</summary>
        public static UploadGuard Current { get; set; }

        public UploadGuard(Action<string> log) { this.log = log ?? delegate { }; }

        /// <summary>A way out that a patch watches from now on.</summary>
        public void Guards(string way)
        {
            lock (gate) guarded.Add(way);
        }

        /// <summary>Whether the way that every score takes is watched; without it nothing may be
        /// injected.</summary>
        public bool Ready { get { lock (gate) return guarded.Contains(Scores); } }

        /// <summary>The name of the way that scores take.</summary>
        public const string Scores = "Leaderboards.UploadScore";

        public ICollection<string> Guarded { get { lock (gate) return new List<string>(guarded); } }
        public bool Injected { get { lock (gate) return injected; } }
        public long Blocked { get { lock (gate) return blocked; } }

        /// <summary>Said before every action; false: it must not be injected.</summary>
        public bool MayInject()
        {
            lock (gate)
            {
                if (!guarded.Contains(Scores)) return false;
                if (!injected)
                    log("an agent plays: no scores and statistics are uploaded until the game is restarted");
                injected = true;
                return true;
            }
        }

        /// <summary>Asked by the patches: whether what is about to leave may.</summary>
        public bool MayUpload(string way)
        {
            lock (gate)
            {
                if (!injected) return true;
                if (++blocked == 1 || blocked % 1000 == 0)
                    log("kept back: " + way + " (" + blocked + " so far)");
                return false;
            }
        }
    }
}
