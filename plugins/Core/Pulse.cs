// Heart and Pulse: one thread per process that lets counters go up, and how an observer tells from
// a counter whether somebody lives. Timed by the observer's own clock. Knows no ring.
using System;
using System.Collections.Generic;
using System.Threading;

namespace Metabonk.Core
{
    /// <summary>Calls every beating object ten times in a tenth of a second.</summary>
    public static class Heart
    {
        static readonly object gate = new object();
        static readonly List<Action<long>> beating = new List<Action<long>>();
        static Thread thread;

        public static void Start(Action<long> beat)
        {
            lock (gate)
            {
                beating.Add(beat);
                if (thread != null) return;
                thread = new Thread(Run) { IsBackground = true, Name = "metabonk heart",
                    Priority = ThreadPriority.Highest };
                thread.Start();
            }
        }

        /// <summary>Once this has returned it is called no more.</summary>
        public static void Stop(Action<long> beat)
        {
            lock (gate) beating.Remove(beat);
        }

        static void Run()
        {
            while (true)
            {
                lock (gate)
                {
                    if (beating.Count == 0)
                    {
                        thread = null;
                        return;
                    }
                    long now = Clock.Now;
                    for (int i = beating.Count - 1; i >= 0; --i) beating[i](now);
                }
                Thread.Sleep(Ring.BeatPeriodMs);
            }
        }
    }

    /// <summary>Somebody else's counter. Time counts only while we look: one who was stopped
    /// together with the other does not take it for dead.</summary>
    public struct Pulse
    {
        const long MostOfAGap = 2 * Ring.BeatPeriodMs * 1000000L;

        long last, lookedNs, stillNs;

        /// <summary>For how long the counter has stood still, in nanoseconds; the first look counts
        /// as a change.</summary>
        public long Still(long counter, long nowNs)
        {
            bool changed = lookedNs == 0 || counter != last;
            stillNs = changed ? 0 : stillNs + Math.Min(nowNs - lookedNs, MostOfAGap);
            last = counter;
            lookedNs = nowNs;
            return stillNs;
        }
    }
}
