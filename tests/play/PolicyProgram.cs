// policy_program.c in C#: what a plugin of a Unity game does, through P/Invoke.
using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;

/// The functions of metabonk/policy.h.
static class Native
{
    const string Library = "metabonk_policy";
    public const int Version = 1, ErrorBytes = 512;

    [StructLayout(LayoutKind.Sequential)]
    public struct Info
    {
        public int Batch, Columns, Inputs, Carries;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Input
    {
        public IntPtr Name;
        public int Type, Rank;
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 6)] public long[] Sizes;
        public long Bytes;
        public int Own, Unused;
    }

    [DllImport(Library)] public static extern int metabonk_policy_version();
    [DllImport(Library)] public static extern int metabonk_policy_load(byte[] path, out IntPtr policy, byte[] error, UIntPtr bytes);
    [DllImport(Library)] public static extern int metabonk_policy_swap(IntPtr policy, byte[] path, byte[] error, UIntPtr bytes);
    [DllImport(Library)] public static extern int metabonk_policy_describe(IntPtr policy, out Info info);
    [DllImport(Library)] public static extern int metabonk_policy_input(IntPtr policy, int index, out Input input);
    [DllImport(Library)] public static extern int metabonk_policy_reset(IntPtr policy, byte[] mask);
    [DllImport(Library)] public static extern int metabonk_policy_step(IntPtr policy, IntPtr[] inputs, int count, [Out] float[] action);
    [DllImport(Library)] public static extern ulong metabonk_policy_counter(IntPtr policy);
    [DllImport(Library)] public static extern IntPtr metabonk_policy_tier(IntPtr policy);
    [DllImport(Library)] public static extern IntPtr metabonk_policy_error(IntPtr policy);
    [DllImport(Library)] public static extern void metabonk_policy_free(IntPtr policy);
}

/// A policy that throws what the library reports.
sealed class Policy : IDisposable
{
    readonly IntPtr handle;
    public readonly Native.Info Info;
    public readonly List<Native.Input> Inputs = new List<Native.Input>();

    public Policy(string path)
    {
        if (Native.metabonk_policy_version() != Native.Version) throw new InvalidOperationException("another version");
        var error = new byte[Native.ErrorBytes];
        if (Native.metabonk_policy_load(Utf8(path), out handle, error, (UIntPtr)error.Length) != 0) throw Failure(error);
        Native.metabonk_policy_describe(handle, out Info);
        for (int i = 0; i < Info.Inputs; ++i)
        {
            Native.Input input;
            if (Native.metabonk_policy_input(handle, i, out input) != 0) throw new InvalidOperationException("input");
            Inputs.Add(input);
        }
    }

    public string Tier { get { return Marshal.PtrToStringAnsi(Native.metabonk_policy_tier(handle)); } }

    public ulong Counter { get { return Native.metabonk_policy_counter(handle); } }

    public void Swap(string path)
    {
        var error = new byte[Native.ErrorBytes];
        if (Native.metabonk_policy_swap(handle, Utf8(path), error, (UIntPtr)error.Length) != 0) throw Failure(error);
    }

    public void Reset(byte[] mask)
    {
        if (Native.metabonk_policy_reset(handle, mask) != 0) throw LastFailure();
    }

    public void Step(IntPtr[] inputs, float[] action)
    {
        if (Native.metabonk_policy_step(handle, inputs, inputs.Length, action) != 0) throw LastFailure();
    }

    public void Dispose() { Native.metabonk_policy_free(handle); }

    Exception LastFailure() { return new InvalidOperationException(Marshal.PtrToStringAnsi(Native.metabonk_policy_error(handle))); }

    static Exception Failure(byte[] error) { return new InvalidOperationException(Encoding.UTF8.GetString(error, 0, Array.IndexOf(error, (byte)0))); }

    static byte[] Utf8(string text) { return Encoding.UTF8.GetBytes(text + "\0"); }
}

static class PolicyProgram
{
    static int Main(string[] arguments)
    {
        try
        {
            Run(arguments[0], arguments[1], arguments[2], arguments[3], int.Parse(arguments[4]));
            return 0;
        }
        catch (InvalidOperationException failure)
        {
            Console.Error.WriteLine(failure.Message);
            return 1;
        }
    }

    static void Run(string path, string recordPath, string actionsPath, string other, int at)
    {
        using (var policy = new Policy(path))
        using (var record = new BinaryReader(File.OpenRead(recordPath)))
        using (var actions = new BinaryWriter(File.Create(actionsPath)))
        {
            var memory = new List<byte[]>();
            var inputs = new IntPtr[policy.Info.Inputs];
            for (int i = 0; i < inputs.Length; ++i)
            {
                memory.Add(policy.Inputs[i].Own != 0 ? null : new byte[policy.Inputs[i].Bytes]);
                if (memory[i] != null) inputs[i] = GCHandle.Alloc(memory[i], GCHandleType.Pinned).AddrOfPinnedObject();
            }
            var action = new float[policy.Info.Batch * policy.Info.Columns];
            int step = 0;
            for (; record.BaseStream.Position < record.BaseStream.Length; ++step)
            {
                var mask = record.ReadBytes(policy.Info.Batch);
                foreach (var input in memory)
                {
                    if (input != null) Buffer.BlockCopy(record.ReadBytes(input.Length), 0, input, 0, input.Length);
                }
                if (step == at) policy.Swap(other);
                policy.Reset(mask);
                policy.Step(inputs, action);
                foreach (float number in action) actions.Write(number);
            }
            if (policy.Counter != (ulong)step) throw new InvalidOperationException("counter: not the steps taken");
            Console.WriteLine(step + " steps, " + policy.Tier);
        }
    }
}
