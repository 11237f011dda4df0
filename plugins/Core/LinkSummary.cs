// LinkSummary: what happened on the link, in one line for the log: when an agent goes, since it came,
// and at the end, since the beginning. Knows the counters; what they count others know.
using System.Text;

namespace Metabonk.Core
{
    /// <summary>Counters of one moment. They only go up.</summary>
    public struct LinkTally
    {
        public LinkCounts Link;
        public ActionCounts Actions;
        public RingCounts Ring;
        public long FramesTaken, CapturesSkipped, CapturesFailed, ResetsRefused, Faults;
    }

    public sealed class LinkSummary
    {
        static readonly string[] names =
        {
            "states sent", "states overtaken", "states without an agent", "frames taken",
            "frames sent", "frames overtaken", "frames too large", "frames into the ring",
            "readers of the ring lost", "captures skipped", "captures failed", "actions received",
            "actions overtaken", "actions of another connection", "ticks with a new action",
            "ticks that held the last one", "ticks without one for too long", "resets",
            "resets that began no run", "connections", "connections refused",
            "protocol errors", "faults",
        };

        readonly long[] first = new long[names.Length];
        long agent, cameNs;

        static long[] Values(LinkTally now)
        {
            LinkCounts link = now.Link;
            ActionCounts actions = now.Actions;
            return new[]
            {
                link.StatesSent, link.StatesOvertaken, link.StatesWithoutAgent, now.FramesTaken,
                link.FramesSent, link.FramesOvertaken, link.FramesTooLarge, now.Ring.Frames,
                now.Ring.ReadersLost, now.CapturesSkipped, now.CapturesFailed, actions.Received,
                actions.Overtaken, link.ActionsSkipped, actions.Fresh,
                actions.Held, actions.Safe, link.Resets, now.ResetsRefused,
                link.Connections, link.Refused, link.ProtocolErrors, now.Faults,
            };
        }

        /// <summary>Whether another agent is there than before, or none any longer: then Changed
        /// wants the counters.</summary>
        public bool Differs(long connection) { return connection != agent; }

        /// <summary>What to log of the agent that was there; null if none was. connection: of the
        /// one that is, 0 for none.</summary>
        public string Changed(long connection, LinkTally now, long nowNs)
        {
            long[] values = Values(now);
            string line = agent == 0 ? null : "agent " + agent + " is gone after "
                + (nowNs - cameNs) / 1000000000 + " s: " + Told(values, first);
            agent = connection;
            cameNs = nowNs;
            values.CopyTo(first, 0);
            return line;
        }

        /// <summary>What to log at the end; null if nothing ever happened.</summary>
        public static string Total(LinkTally now)
        {
            string told = Told(Values(now), new long[names.Length]);
            return told.Length == 0 ? null : "the link in all: " + told;
        }

        // Only what is not zero.
        static string Told(long[] now, long[] before)
        {
            var line = new StringBuilder();
            for (int i = 0; i < names.Length; ++i)
            {
                if (now[i] == before[i]) continue;
                line.Append(line.Length == 0 ? "" : ", ").Append(names[i]).Append(' ')
                    .Append(now[i] - before[i]);
            }
            return line.ToString();
        }
    }
}
