// UploadGuard: keeps bots off the leaderboards. Once an action has been injected, no score and no
// statistics leave this process until it ends; and nothing is injected before it is certain that
// both are kept. Knows no game; the plugin's patches ask it.
using System;
using System.Collections.Generic;

namespace Metabonk.Core
{
    /// <summary>What leaves a game of how it was played.</summary>
    public enum UploadKind { Scores, Statistics }

    public sealed class UploadGuard
    {
        /// <summary>The game has one process, and so has its guard: a plugin that comes again
        /// finds what the one before it did.</summary>
        public static readonly UploadGuard Current = new UploadGuard(null);

        readonly object gate = new object();
        readonly HashSet<UploadKind> guarded = new HashSet<UploadKind>();
        Action<string> log;
        bool injected;
        long blocked;

        public UploadGuard(Action<string> log) { Log = log; }

        /// <summary>Where it is said, by whichever plugin is there now.</summary>
        public Action<string> Log
        {
            set { lock (gate) log = value ?? delegate { }; }
        }

        /// <summary>A way out that a patch watches from now on.</summary>
        public void Guards(UploadKind kind)
        {
            lock (gate) guarded.Add(kind);
        }

        /// <summary>Why nothing may be injected; empty where it may.</summary>
        public string Refusal
        {
            get
            {
                lock (gate)
                {
                    string open = "";
                    foreach (UploadKind kind in Enum.GetValues(typeof(UploadKind)))
                        if (!guarded.Contains(kind))
                            open += (open.Length > 0 ? " and " : "")
                                + kind.ToString().ToLowerInvariant();
                    return open.Length == 0 ? "" : "how " + open
                        + " leave this version of the game is not known, so they cannot be kept back";
                }
            }
        }

        public bool Injected { get { lock (gate) return injected; } }
        public long Blocked { get { lock (gate) return blocked; } }

        /// <summary>Said before every action; false: it must not be injected.</summary>
        public bool MayInject()
        {
            lock (gate)
            {
                if (!guarded.Contains(UploadKind.Scores)
                    || !guarded.Contains(UploadKind.Statistics))
                    return false;
                if (!injected)
                    log("an agent plays: no scores and statistics are uploaded until the game is restarted");
                injected = true;
                return true;
            }
        }

        /// <summary>Asked by the patches: whether what is about to leave by `way` may.</summary>
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
