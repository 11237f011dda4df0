// Faults: what went wrong in a frame, counted by its kind and said at its first time and every time
// that the count has doubled, so that a fault in every frame neither hides nor floods the log.
using System;
using System.Collections.Generic;

namespace Metabonk.Core
{
    public sealed class Faults
    {
        readonly Dictionary<string, long> counts = new Dictionary<string, long>();
        readonly Action<string> log;

        public Faults(Action<string> log) { this.log = log ?? delegate { }; }

        public long Total { get; private set; }

        public void Add(string doing, Exception error)
        {
            ++Total;
            string kind = doing + ": " + error.GetType().Name;
            long count;
            counts.TryGetValue(kind, out count);
            counts[kind] = ++count;
            if ((count & (count - 1)) == 0)
                log(doing + " failed, for the " + count + ". time: " + error);
        }
    }
}
