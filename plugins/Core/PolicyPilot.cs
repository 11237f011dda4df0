// PolicyPilot: plays by a compiled policy in this process (metabonk/policy.h): no Python, no
// socket. What the policy sees comes from the same native function as in training. Knows the
// library's C functions; main thread only.
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;

namespace Metabonk.Core
{
    public sealed unsafe class PolicyPilot : IPilot
    {
        const int Version = 1, ErrorBytes = 512;

        readonly Calls calls;
        readonly IntPtr policy, packed;
        readonly float* row;
        readonly ByteWriter writer = new ByteWriter(PackedState.Bytes);
        readonly Frame upright = new Frame();
        readonly bool sees;
        bool disposed;

        /// <summary>library: path of libmetabonk_policy. path: folder of the policy. IOException,
        /// saying why, if either cannot be used.</summary>
        public PolicyPilot(string library, string path)
        {
            calls = new Calls(library);
            if (calls.Version() != Version)
                throw new IOException(library + ": version " + calls.Version() + ", " + Version
                    + " is wanted: take the library that came with this plugin's package");
            var error = new byte[ErrorBytes];
            if (calls.Load(Utf8(path), out policy, error, (UIntPtr)error.Length) != 0)
                throw new IOException(Text(error));
            Info info;
            calls.Describe(policy, out info);
            if (info.Batch != 1 || info.Columns != PlayerAction.Columns)
            {
                calls.Free(policy);
                throw new IOException(path + ": decides for " + info.Batch + " games with "
                    + info.Columns + " numbers each; 1 and " + PlayerAction.Columns
                    + " are wanted: compile it with batch=1 from an arena policy");
            }
            for (int i = 0; i < info.Inputs; ++i)
            {
                Input input;
                calls.Input(policy, i, out input);
                sees |= Marshal.PtrToStringAnsi(input.Name) == "pixels";
            }
            packed = Marshal.AllocHGlobal(PackedState.Bytes);
            row = (float*)Marshal.AllocHGlobal(PlayerAction.Columns * 4);
        }

        public ulong Decisions { get { return calls.Counter(policy); } }

        public PlayerAction Act(GameState state, Frame frame)
        {
            PackedState.Write(state, writer);
            Marshal.Copy(writer.Bytes, 0, packed, PackedState.Bytes);
            bool shown = sees && !frame.IsEmpty && frame.Format != PixelFormat.Jpeg;
            if (shown) FrameConverter.ToRgb(frame, RowOrder.TopDown, upright);
            fixed (byte* pixels = upright.Pixels)
                Check(calls.Act(policy, packed, (UIntPtr)PackedState.Bytes, shown ? pixels : null,
                    upright.Width, upright.Height, row));
            return new PlayerAction
            {
                MoveX = row[0], MoveY = row[1], LookX = row[2], LookY = row[3], Jump = row[4],
                    Slide = row[5],
                Interact = row[6], Fire = row[7], Ability = row[8], Choice = row[9], ClickX =
                    row[10], ClickY = row[11],
            };
        }

        public void Reset() { Check(calls.Reset(policy, IntPtr.Zero)); }

        void Check(int status)
        {
            if (status != 0)
                throw new InvalidOperationException(Marshal.PtrToStringAnsi(calls.Error(policy)));
        }

        static byte[] Utf8(string text) { return Encoding.UTF8.GetBytes(text + "\0"); }

        static string Text(byte[] error)
        {
            int size = Array.IndexOf(error, (byte)0);
            return Encoding.UTF8.GetString(error, 0, size < 0 ? error.Length : size);
        }

        public void Dispose()
        {
            if (disposed) return;
            disposed = true;
            calls.Free(policy);
            Marshal.FreeHGlobal(packed);
            Marshal.FreeHGlobal((IntPtr)row);
        }

        [StructLayout(LayoutKind.Sequential)]
        struct Info
        {
            public int Batch, Columns, Inputs, Carries;
        }

        [StructLayout(LayoutKind.Sequential)]
        struct Input
        {
            public IntPtr Name;
            public int Type, Rank;
            public fixed long Sizes[6];
            public long Bytes;
            public int Own, Unused;
        }

        /// <summary>The library's functions, by path: a game's folder is on no search
        /// path.</summary>
        sealed class Calls
        {
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate int VersionCall();
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate int LoadCall(byte[] path, out IntPtr policy, byte[] error, UIntPtr bytes);
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate int DescribeCall(IntPtr policy, out Info info);
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate int InputCall(IntPtr policy, int index, out Input input);
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate int ActCall(IntPtr policy, IntPtr state, UIntPtr bytes, byte* pixels, int width, int height, float* action);
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate int ResetCall(IntPtr policy, IntPtr mask);
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate IntPtr ErrorCall(IntPtr policy);
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate ulong CounterCall(IntPtr policy);
            [UnmanagedFunctionPointer(CallingConvention.Cdecl)] public delegate void FreeCall(IntPtr policy);

            public readonly VersionCall Version;
            public readonly LoadCall Load;
            public readonly DescribeCall Describe;
            public readonly InputCall Input;
            public readonly ActCall Act;
            public readonly ResetCall Reset;
            public readonly ErrorCall Error;
            public readonly CounterCall Counter;
            public readonly FreeCall Free;

            public Calls(string path)
            {
                IntPtr library = NativeLibraries.Open(path);
                Version = Get<VersionCall>(library, "metabonk_policy_version", path);
                Load = Get<LoadCall>(library, "metabonk_policy_load", path);
                Describe = Get<DescribeCall>(library, "metabonk_policy_describe", path);
                Input = Get<InputCall>(library, "metabonk_policy_input", path);
                Act = Get<ActCall>(library, "metabonk_policy_act", path);
                Reset = Get<ResetCall>(library, "metabonk_policy_reset", path);
                Error = Get<ErrorCall>(library, "metabonk_policy_error", path);
                Counter = Get<CounterCall>(library, "metabonk_policy_counter", path);
                Free = Get<FreeCall>(library, "metabonk_policy_free", path);
            }

            static T Get<T>(IntPtr library, string name, string path) where T : class
            {
                IntPtr function = NativeLibraries.Find(library, name);
                if (function == IntPtr.Zero)
                    throw new IOException(path + ": has no " + name
                        + "; take a library of this plugin's version");
                return (T)(object)Marshal.GetDelegateForFunctionPointer(function, typeof(T));
            }
        }
    }

    /// <summary>The system's own ways to load a library.</summary>
    static class NativeLibraries
    {
        [DllImport("libdl.so.2", EntryPoint = "dlopen")] static extern IntPtr OpenUnix(byte[] path,
            int flags);
        [DllImport("libdl.so.2",
            EntryPoint = "dlsym")] static extern IntPtr FindUnix(IntPtr library, string name);
        [DllImport("kernel32", EntryPoint = "LoadLibraryW",
            CharSet = CharSet.Unicode)] static extern IntPtr OpenWindows(string path);
        [DllImport("kernel32", EntryPoint = "GetProcAddress",
            CharSet = CharSet.Ansi)] static extern IntPtr FindWindows(IntPtr library, string name);

        static bool Unix { get { return Path.DirectorySeparatorChar == '/'; } }

        /// <summary>IOException if there is none that this process can load.</summary>
        public static IntPtr Open(string path)
        {
            if (!File.Exists(path)) throw new IOException(path + ": there is no such library");
            IntPtr library = Unix ? OpenUnix(Encoding.UTF8.GetBytes(path + "\0"), 2)
                : OpenWindows(path);
            if (library == IntPtr.Zero)
                throw new IOException(path
                    + ": cannot be loaded here; it must be made for the system that the game runs on");
            return library;
        }

        public static IntPtr Find(IntPtr library, string name) { return Unix
            ? FindUnix(library, name) : FindWindows(library, name); }
    }
}
