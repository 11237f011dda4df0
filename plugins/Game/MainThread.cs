// MainThread: the one thread that may touch Unity and the game, and how another gets permission to
// touch anything of IL2CPP at all.
using System;
using System.Threading;
using Il2CppInterop.Runtime;

namespace Metabonk.Game
{
    public static class MainThread
    {
        static int id;

        /// <summary>Said once, on it.</summary>
        public static void IsHere() { id = Thread.CurrentThread.ManagedThreadId; }

        /// <summary>InvalidOperationException on any other thread: a crash of the game, had it gone
        /// on.</summary>
        public static void Check()
        {
            if (Thread.CurrentThread.ManagedThreadId != id)
                throw new InvalidOperationException("the game may be touched on its main thread only");
        }

        /// <summary>A thread that logs through BepInEx's IL2CPP side attaches before it does; one
        /// that was not crashes the game at boot ("connection from unknown thread").</summary>
        public static void Attach() { IL2CPP.il2cpp_thread_attach(IL2CPP.il2cpp_domain_get()); }
    }
}
