// The monotonic clock, and what tells machines apart.
using System;
using System.Diagnostics;
using System.IO;

namespace Metabonk.Core
{
    public static class Clock
    {
        static readonly long frequency = Stopwatch.Frequency;

        /// <summary>Nanoseconds since some moment of this boot; never goes back.</summary>
        public static long Now
        {
            get
            {
                long ticks = Stopwatch.GetTimestamp();
                return ticks / frequency * 1000000000L
                    + ticks % frequency * 1000000000L / frequency;
            }
        }
    }

    public static class Machine
    {
        // Wine shows the host's files under Z:.
        static readonly string[] bootIds = { "/proc/sys/kernel/random/boot_id",
            @"Z:\proc\sys\kernel\random\boot_id" };

        /// <summary>A number that is equal for all processes of one boot of one machine; 0 where it
        /// cannot be told.</summary>
        public static ulong Id
        {
            get
            {
                foreach (string path in bootIds)
                {
                    string text;
                    try
                    {
                        text = File.ReadAllText(path);
                    }
                    catch (Exception error) when (error is IOException
                        || error is UnauthorizedAccessException || error is NotSupportedException)
                    {
                        continue;  // not this system's name of it
                    }
                    ulong id = 0;
                    foreach (char c in text)
                    {
                        if (c == '\n') break;
                        id = unchecked(Mix(id ^ (byte)c) + 1);
                    }
                    return id;
                }
                return 0;
            }
        }

        /// <summary>SplitMix64's finaliser, as csrc/support/random.h has it.</summary>
        static ulong Mix(ulong x)
        {
            unchecked
            {
                x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9UL;
                x = (x ^ x >> 27) * 0x94D049BB133111EBUL;
                return x ^ x >> 31;
            }
        }
    }
}
